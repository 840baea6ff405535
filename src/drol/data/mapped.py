"""Tables on disk, for data larger than memory, and the folder that holds them while a process lives."""

import contextlib
import fcntl
import glob
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from drol.errors import DataError
from drol.files import clear_write_errors

MEMORY_SHARE = 0.25
"""Data that take more than this share of the machine's memory are mapped: they would be held three times, as read, as
converted and on the device."""


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


LOCK = "lock"
"""A file in each folder of mapped tables that stays locked while its process lives."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for mapped tables, removed at the end: in `$DROL_SCRATCH`, or in ~/.cache/drol.

    Folders that dead processes of this machine left there are removed, too. A process is dead if its lock is free: the
    system releases the lock however the process ends. Process IDs would not suffice, because several machines or
    containers may share the folder.
    """
    parent = Path(os.environ.get("DROL_SCRATCH", "~/.cache/drol")).expanduser()
    # It must not begin with a digit: earlier versions remove folders that look like their own.
    name = f"mapped-on-{re.sub(r'[^A-Za-z0-9.]', '_', socket.gethostname()) or 'unnamed'}-"
    with contextlib.ExitStack() as stack:
        with clear_write_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            with _undisturbed(parent) as alone:
                for left_over in parent.glob(f"{glob.escape(name)}*"):
                    if alone and _is_dead(left_over):
                        shutil.rmtree(left_over, ignore_errors=True)
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=name, dir=parent)))
                handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, handle)
                with contextlib.suppress(OSError):  # a file system without locks: then no process can take it
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder


@contextlib.contextmanager
def _undisturbed(parent: Path) -> Iterator[bool]:
    """Keep other processes from cleaning up until a new folder is locked; yields False if locks are not supported."""
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _is_dead(folder: Path) -> bool:
    """Whether no process holds the lock of such a folder; False if there is no lock, or if that is unknown."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return not folder.is_symlink()


class Column:
    """A table that grows by rows, in memory or in a file.

    Args:
        name: of its file.
        folder: of its file; None to keep it in memory.
    """

    def __init__(self, name: str, folder: Path | None):
        self._parts: list[np.ndarray] = []
        self._path = None if folder is None else folder / f"{name}.raw"
        self._file = None if self._path is None else open(self._path, "wb")  # noqa: SIM115  (closed by `close`)
        self._rows = 0

    def append(self, rows: np.ndarray) -> None:
        """Add rows.

        Raises:
            DataError: if the table is in a file and the type of its first rows cannot hold these.
        """
        self._rows += len(rows)
        if self._file is None:
            self._parts.append(rows)
            return
        # The first part decides the type; only an empty part of that type is kept.
        self._parts = self._parts or [rows[:0]]
        if not np.can_cast(rows.dtype, self._parts[0].dtype, "same_kind"):
            raise DataError(
                f"{self._path}: the first episodes hold {self._parts[0].dtype}, a later one {rows.dtype}; store all of "
                f"them as floats"
            )
        with clear_write_errors(Path(self._file.name)):
            self._file.write(np.ascontiguousarray(rows, self._parts[0].dtype).tobytes())

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def finished(self) -> np.ndarray | None:
        """The whole table; None if it has no rows."""
        self.close()
        if not self._rows:
            return None
        if self._path is None:
            return np.concatenate(self._parts)
        empty = self._parts[0]
        return np.memmap(self._path, empty.dtype, "r", shape=(self._rows, *empty.shape[1:]))


def new_table(name: str, shape: tuple[int, int], folder: Path | None) -> np.ndarray:
    """A float32 table to be filled.

    Args:
        name: of its file.
        shape: (rows, numbers).
        folder: of its file, which is memory-mapped; None to keep it in memory.
    """
    if folder is None:
        return np.empty(shape, np.float32)
    return np.lib.format.open_memmap(folder / f"table-{name}.npy", "w+", np.float32, shape)
