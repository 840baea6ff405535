"""Data larger than memory: tables on the disk, of which each chunk of updates takes the rows it draws."""

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

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from drol.data.arrays import Allocate
from drol.data.episodes import Transitions
from drol.data.replay import ReplayData
from drol.files import DataError, clear_write_errors
from drol.types import Spec

MEMORY_SHARE = 0.25
"""Data that take more than this share of the machine's memory are mapped: as read, converted and on the device they
would be there three times."""


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


LOCK = "lock"
"""A file in each folder of mapped tables, locked as long as its process lives."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for mapped tables, removed at the end: in `$DROL_SCRATCH`, or in ~/.cache/drol.

    What dead processes of this machine left there is removed, too. Whether one is dead tells its lock, which the system
    releases however it ends: a number says nothing where several machines, or containers, share the folder.
    """
    parent = Path(os.environ.get("DROL_SCRATCH", "~/.cache/drol")).expanduser()
    # Never a digit at its start: earlier versions remove what looks like theirs.
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
                with contextlib.suppress(OSError):  # a file system without locks: then nobody can take it, either
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder


@contextlib.contextmanager
def _undisturbed(parent: Path) -> Iterator[bool]:
    """Keep others from cleaning up between a new folder and its lock; whether that can be had here."""
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
    """Whether no process holds the lock of such a folder; False where there is no lock, or it cannot be told."""
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
        folder: of its file; None for memory.
    """

    def __init__(self, name: str, folder: Path | None):
        self._parts: list[np.ndarray] = []
        self._path = None if folder is None else folder / f"{name}.raw"
        self._file = None if self._path is None else open(self._path, "wb")  # noqa: SIM115  (closed by `close`)
        self._rows = 0

    def append(self, rows: np.ndarray) -> None:
        """Add rows.

        Raises:
            DataError: if a file's first rows have a type that cannot hold these.
        """
        self._rows += len(rows)
        if self._file is None:
            self._parts.append(rows)
            return
        # The first part decides the type; only that it is like the others' is kept.
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
        """The whole table; None if there is no row."""
        self.close()
        if not self._rows:
            return None
        if self._path is None:
            return np.concatenate(self._parts)
        empty = self._parts[0]
        return np.memmap(self._path, empty.dtype, "r", shape=(self._rows, *empty.shape[1:]))


def room_in(folder: Path) -> Allocate:
    """Room for the tables of `to_transitions` in files."""

    def allocate(name: str, shape: tuple[int, int]) -> np.ndarray:
        return np.lib.format.open_memmap(folder / f"table-{name}.npy", "w+", np.float32, shape)

    return allocate


class MappedData:
    """Transitions on the disk, fed to the device window by window.

    A run draws what it would draw with all of them on the device.

    Args:
        transitions: the large tables memory-mapped.
    """

    sharding = None

    def __init__(self, transitions: Transitions):
        self._transitions = transitions

    @property
    def size(self) -> int:
        """The number of transitions."""
        return len(self._transitions)

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions."""
        return Spec(self._transitions.observations.shape[-1], self._transitions.actions.shape[-1])

    def window(self, numbers: np.ndarray) -> ReplayData:
        """The transitions with these numbers, as data that still go by the numbers of the whole.

        Args:
            numbers: (N,) of transitions, in any order, repeated or not; the result's shapes depend on N alone.
        """
        whole, capacity = self._transitions, 2 * len(numbers)
        drawn = np.unique(numbers)
        # The actions that follow are needed as well, but not their observations.
        present = np.union1d(drawn, whole.next_action_index[drawn])
        places = np.searchsorted(present, drawn)
        index = np.zeros(capacity, np.int32)
        index[places] = np.arange(len(drawn))
        next_action_index = np.zeros(capacity, np.int32)
        next_action_index[places] = np.searchsorted(present, whole.next_action_index[drawn])
        observations = np.zeros((capacity, self.spec.observation_dim), np.float32)
        observations[: len(drawn)] = whole.observations[whole.index[drawn]]
        observations[len(numbers) :][: len(drawn)] = whole.observations[whole.next_index[drawn]]

        def padded(table: np.ndarray, fill: int = 0) -> Array:
            missing = capacity - len(table)
            return jnp.asarray(np.pad(table, [(0, missing)] + [(0, 0)] * (table.ndim - 1), constant_values=fill))

        return ReplayData(
            observations=jnp.asarray(observations),
            actions=padded(whole.actions[present]),
            rewards=padded(whole.rewards[present]),
            masks=padded(whole.masks[present]),
            index=jnp.asarray(index),
            next_index=jnp.asarray(index + len(numbers)),
            next_action_index=jnp.asarray(next_action_index),
            numbers=padded(present.astype(np.int32), np.iinfo(np.int32).max),
            total=self.size,
        )
