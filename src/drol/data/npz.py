"""npz files, read with suspicion."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from drol.files import REMEDIES, DataError, clear_write_errors

Wanted = Callable[[str], bool]
"""Whether an array of that name is to be read."""

UNREAD = np.empty(0)
"""Stands for an array that is there and was not wanted."""


def everything(name: str) -> bool:
    """All arrays are wanted."""
    return True


def read_npz(path: Path, folder: Path | None = None, *, wanted: Wanted = everything) -> dict[str, np.ndarray]:
    """The arrays of an npz file; nothing is unpickled.

    Args:
        path: the file.
        folder: where given, the arrays are unpacked into it and memory-mapped.
        wanted: arrays of other names are left alone, and there as `UNREAD`.

    Raises:
        DataError: if it is missing, truncated, damaged or holds Python objects.
        OSError: if `folder` cannot be written, with a clear message.
    """
    try:
        # Opened here: np.load leaves the file open when it is no npz.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            if folder is None:
                return {key: file[key] if wanted(key) else UNREAD for key in file.files}
        return _unpacked(path, folder, wanted)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; collect it with `drol collect`, or give another file") from None
    except Exception as error:
        # A damaged archive makes zipfile, zlib, struct, tokenize and NumPy raise a dozen different kinds.
        if isinstance(error, OSError) and error.errno in REMEDIES:
            raise
        raise DataError(
            f"{path} is not readable as an npz file ({error}); cut off or damaged? Collect, download or copy it anew"
        ) from None


def npz_bytes(path: Path, wanted: Wanted = everything) -> int:
    """What the arrays take in memory; 0 where the file cannot be read, as reading it will tell."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist() if wanted(_name(member)))
    except (OSError, zipfile.BadZipFile):
        return 0


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _unpacked(path: Path, folder: Path, wanted: Wanted) -> dict[str, np.ndarray]:
    """The members, which are npy files, unpacked one by one and mapped."""
    arrays = {}
    with zipfile.ZipFile(path) as archive, clear_write_errors(folder):
        for number, member in enumerate(archive.infolist()):
            if not wanted(_name(member)):
                arrays[_name(member)] = UNREAD
                continue
            target = folder / f"column{number}.npy"
            with archive.open(member) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            arrays[_name(member)] = np.load(target, mmap_mode="r", allow_pickle=False)
    return arrays
