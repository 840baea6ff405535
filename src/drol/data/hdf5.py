"""HDF5 files as plain arrays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drol.data.log import BLOCK
from drol.data.npz import UNREAD, Wanted, everything
from drol.extras import require
from drol.files import REMEDIES, DataError, clear_write_errors


def read_hdf5(path: Path, folder: Path | None = None, *, wanted: Wanted = everything) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by name, with `/` between groups; nothing is unpickled and no other file is opened.

    Args:
        path: the file.
        folder: where given, the arrays are copied into it and memory-mapped.
        wanted: arrays of other names are left alone, and there as `UNREAD`.

    Raises:
        DataError: if it is missing, damaged, cut off, no HDF5 file, or an array to be read holds objects or nothing.
        MissingExtraError: without h5py.
    """
    require("h5py", "hdf5")
    import h5py

    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for name, dataset in _datasets(file, "", set()):
                if not wanted(name):
                    arrays[name] = UNREAD
                else:
                    _check(name, dataset, path)
                    arrays[name] = (
                        np.asarray(dataset[()])
                        if folder is None or not dataset.ndim
                        else _copied(dataset, folder / f"{len(arrays)}.npy")
                    )
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give another file") from None
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REMEDIES:
            raise
        # Whatever a damaged file makes h5py raise: OSError, RuntimeError, KeyError, TypeError, MemoryError, ...
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} is not readable as an HDF5 file ({reason}); cut off or damaged? Fetch or make it anew"
        ) from None
    return arrays


def hdf5_bytes(path: Path, wanted: Wanted = everything) -> int:
    """What the arrays take in memory; 0 where the file cannot be read, as reading it will tell."""
    require("h5py", "hdf5")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return sum(dataset.nbytes for name, dataset in _datasets(file, "", set()) if wanted(name))
    except Exception:  # see `read_hdf5`
        return 0


def _copied(dataset: Any, target: Path) -> np.ndarray:
    with clear_write_errors(target):
        copy = np.lib.format.open_memmap(target, "w+", dataset.dtype, dataset.shape)
        for start in range(0, len(dataset) if dataset.ndim else 0, BLOCK):
            copy[start : start + BLOCK] = dataset[start : start + BLOCK]
    return copy


def _datasets(group: Any, prefix: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """(name, data set) of all that is stored in the file itself; soft and external links are left out."""
    import h5py

    if group in seen:  # a group may contain itself; equal are groups at one place of the file
        return
    seen.add(group)
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            item = group[name]
            if isinstance(item, h5py.Group):
                yield from _datasets(item, f"{prefix}{name}/", seen)
            elif isinstance(item, h5py.Dataset):
                yield prefix + name, item


def _check(name: str, dataset: Any, path: Path) -> None:
    if dataset.shape is None or dataset.dtype.hasobject:
        found = "is empty" if dataset.shape is None else "holds strings of any length, or references"
        raise DataError(f"{path}: {name!r} {found}, expected numbers; store them as an array, or remove it")
    if dataset.external or dataset.is_virtual:
        raise DataError(f"{path}: {name!r} is kept in other files; store it in this one")
