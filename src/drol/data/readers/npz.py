"""npz files, read as untrusted input."""

import contextlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from drol.errors import DataError
from drol.files import REMEDIES, clear_write_errors, listed

Wanted = Callable[[str], bool]
"""Whether an array of that name is to be read."""

UNREAD = np.empty(0)
"""A placeholder for an array that exists but was not wanted."""

OBJECTS = ("Object arrays", "Python objects in dtype")
"""What NumPy's errors say about arrays that it would have to unpickle, when reading and when mapping."""


def everything(name: str) -> bool:
    """All arrays are wanted."""
    return True


class NpzArrays:
    """The arrays of an open npz file, each read when it is asked for.

    Attributes:
        names: of all arrays.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path):
        self._archive, self._path = archive, path
        members = archive.infolist()
        self._members = {_name(member): member for member in members if member.filename.endswith(".npy")}
        if members and not self._members:
            found = listed(member.filename for member in members)
            raise DataError(
                f"{path} is a zip archive without arrays, found {found}; unpack it, and store arrays with np.savez"
            )
        self.names = tuple(self._members)

    def nbytes(self, name: str) -> int:
        """The bytes that an array takes in memory."""
        return self._members[name].file_size

    def read(self, name: str, target: Path | None = None) -> np.ndarray:
        """An array; nothing is unpickled.

        Args:
            name: of the array.
            target: if given, the array is unpacked into this file and memory-mapped.

        Raises:
            DataError: if it is damaged or holds Python objects.
            OSError: if `target` cannot be written, with a clear message.
        """
        with _clearly(self._path, name), self._archive.open(self._members[name]) as source:
            if target is None:
                return np.lib.format.read_array(source, allow_pickle=False)
            with clear_write_errors(target), open(target, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            return np.load(target, mmap_mode="r", allow_pickle=False)


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[NpzArrays]:
    """The arrays of an npz file, while it is open.

    Raises:
        DataError: if it is missing, truncated, damaged, or not an npz file.
    """
    with contextlib.ExitStack() as stack:
        with _clearly(path):
            arrays = NpzArrays(stack.enter_context(zipfile.ZipFile(path)), path)
        yield arrays


def read_npz(path: Path, folder: Path | None = None, *, wanted: Wanted = everything) -> dict[str, np.ndarray]:
    """The arrays of an npz file; nothing is unpickled.

    Args:
        path: the file.
        folder: if given, the arrays are unpacked into it and memory-mapped.
        wanted: arrays of other names are not read but listed as `UNREAD`.

    Raises:
        DataError: if it is missing, truncated, damaged or holds Python objects.
        OSError: if `folder` cannot be written, with a clear message.
    """
    with open_npz(path) as arrays:
        targets = {name: folder and folder / f"column{number}.npy" for number, name in enumerate(arrays.names)}
        return {name: arrays.read(name, targets[name]) if wanted(name) else UNREAD for name in arrays.names}


@contextlib.contextmanager
def _clearly(path: Path, name: str | None = None) -> Iterator[None]:
    """Report whatever goes wrong while reading in one sentence.

    A damaged archive makes zipfile, zlib, struct, tokenize and NumPy raise a dozen different kinds.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; collect it with `drol collect`, or give another file") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REMEDIES:
            raise
        if any(words in str(error) for words in OBJECTS):
            raise DataError(
                f"{path}: {name!r} holds Python objects, which are not unpickled; store one file per episode, or "
                f"concatenated numbers"
            ) from None
        raise DataError(
            f"{path} is not readable as an npz file ({error}); cut off or damaged? Collect, download or copy it again"
        ) from None


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")
