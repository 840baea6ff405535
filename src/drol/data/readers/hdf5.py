"""HDF5 files as plain arrays."""

import contextlib
import errno
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.data.log import BLOCK
from drol.data.readers.npz import UNREAD, Wanted, everything
from drol.errors import DataError
from drol.extras import lazy
from drol.files import REMEDIES, clear_write_errors

if TYPE_CHECKING:
    import h5py
else:
    h5py = lazy("h5py", "hdf5")

MOST_HOPS = 32
"""The longest chain of links that is followed."""

MOST_NAMES_OF_A_GROUP = 64
"""The most paths by which links may reach one group, so that names cannot multiply without end."""


class Hdf5Arrays:
    """The arrays of an open HDF5 file, with `/` between groups, each read when it is asked for.

    Links inside the file are followed; links out of it are not, so that no other file is opened.

    Attributes:
        names: of all arrays, and of links that lead nowhere or out of the file.
    """

    def __init__(self, file: "h5py.File", path: Path):
        self._path = path
        self._found = dict(_datasets(file, file, "", frozenset({file}), Counter()))
        self.names = tuple(self._found)

    def nbytes(self, name: str) -> int:
        """The bytes that an array takes in memory."""
        found = self._found[name]
        return 0 if isinstance(found, str) else found.nbytes

    def read(self, name: str, target: Path | None = None) -> np.ndarray:
        """An array; nothing is unpickled.

        Args:
            name: of the array.
            target: if given, the array is copied into this file and memory-mapped.

        Raises:
            DataError: if it is damaged or a link that cannot be followed, or if it holds objects or nothing.
            OSError: if `target` cannot be written, with a clear message.
        """
        with _clearly(self._path):
            found = self._found[name]
            if isinstance(found, str):
                raise DataError(f"{self._path}: {name!r} {found}")
            _check(name, found, self._path)
            return np.asarray(found[()]) if target is None or not found.ndim else _copied(found, target)


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5Arrays]:
    """The arrays of an HDF5 file, while it is open.

    Raises:
        DataError: if it is missing, damaged, cut off, or not an HDF5 file.
        MissingExtraError: if h5py is not installed.
    """
    with contextlib.ExitStack() as stack:
        with _clearly(path):
            arrays = Hdf5Arrays(stack.enter_context(h5py.File(path, "r")), path)
        yield arrays


def read_hdf5(path: Path, folder: Path | None = None, *, wanted: Wanted = everything) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by name, with `/` between groups; nothing is unpickled and no other file is opened.

    Args:
        path: the file.
        folder: if given, the arrays are copied into it and memory-mapped.
        wanted: arrays of other names are not read but listed as `UNREAD`.

    Raises:
        DataError: if it is missing, damaged, cut off, not an HDF5 file, or a wanted array holds objects or nothing.
        MissingExtraError: if h5py is not installed.
    """
    with open_hdf5(path) as arrays:
        targets = {name: folder and folder / f"{number}.npy" for number, name in enumerate(arrays.names)}
        return {name: arrays.read(name, targets[name]) if wanted(name) else UNREAD for name in arrays.names}


@contextlib.contextmanager
def _clearly(path: Path) -> Iterator[None]:
    """Report whatever goes wrong while reading in one sentence.

    A damaged file makes h5py raise OSError, RuntimeError, KeyError, TypeError, MemoryError and more.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give another file") from None
    except BlockingIOError:
        raise DataError(f"{path} is open for writing in another program; close it there first") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REMEDIES:
            raise
        if isinstance(error, OSError) and error.errno == errno.EAGAIN:
            raise DataError(f"{path} is open for writing in another program; close it there first") from None
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} is not readable as an HDF5 file ({reason}); cut off or damaged? Download or create it again"
        ) from None


def _copied(dataset: "h5py.Dataset", target: Path) -> np.ndarray:
    with clear_write_errors(target):
        copy = np.lib.format.open_memmap(target, "w+", dataset.dtype, dataset.shape)
        for start in range(0, len(dataset) if dataset.ndim else 0, BLOCK):
            copy[start : start + BLOCK] = dataset[start : start + BLOCK]
    return copy


def _datasets(
    file: "h5py.File", group: "h5py.Group", prefix: str, above: frozenset[Any], reached: Counter[Any]
) -> Iterator[tuple[str, Any]]:
    """(name, data set) of everything in a group, in its sub-groups and behind its links; for a link that leads to
    nothing in this file, (name, what it is)."""
    for name in map(str, group):
        item = _at(file, group, name)
        if isinstance(item, h5py.Group):
            reached[item] += 1
            if item not in above and reached[item] <= MOST_NAMES_OF_A_GROUP:  # a group may contain itself
                yield from _datasets(file, item, f"{prefix}{name}/", above | {item}, reached)
        elif isinstance(item, h5py.Dataset | str):
            yield prefix + name, item


def _at(file: "h5py.File", group: "h5py.Group", name: str, hops: int = 0) -> Any:
    """What a group holds under a name, following links inside the file; in words if it is not in the file."""
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return f"is a link to another file, {link.filename!r}, which is not opened; store the array in this one"
    if not isinstance(link, h5py.SoftLink):
        return None if link is None else group[name]
    if hops == MOST_HOPS:
        return f"is a link to {link.path!r}, which leads back to itself; store the array in its place"
    place: Any = file if link.path.startswith("/") else group
    # Part by part, because h5py itself would follow a link out of the file on the way.
    for part in filter(None, link.path.split("/")):
        place = place if part == "." else _at(file, place, part, hops + 1) if isinstance(place, h5py.Group) else None
        if isinstance(place, str):
            return place
    return f"is a link to {link.path!r}, which is not in the file" if place is None else place


def _check(name: str, dataset: "h5py.Dataset", path: Path) -> None:
    if dataset.shape is None:
        raise DataError(f"{path}: {name!r} is empty, expected numbers; store an array, or remove it")
    if dataset.dtype.hasobject:
        raise DataError(
            f"{path}: {name!r} holds strings or lists of any length, or references, expected numbers; store one group "
            f"or file per episode, or concatenated numbers"
        )
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{path}: {name!r} is stored in other files; store it in this one")
