"""Which files are read, and what to do with others: recognised by their content first, then by their suffix."""

import contextlib
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from drol.data.checks import NO_IMAGES
from drol.data.readers.hdf5 import Hdf5Arrays, open_hdf5
from drol.data.readers.npz import NpzArrays, open_npz
from drol.errors import DataError, nearest
from drol.files import listed

OPENERS = {"npz": open_npz, "hdf5": open_hdf5}
SUFFIXES = {".npz": "npz", ".hdf5": "hdf5", ".h5": "hdf5", ".hdf": "hdf5", ".he5": "hdf5"}
"""Suffixes of files that are read; their case does not matter."""

READ = f"npz and HDF5 files ({', '.join(SUFFIXES)}) and folders of them are read"
SAVE = "np.savez('log.npz', observations=..., actions=..., rewards=..., terminated=...)"


class Other(NamedTuple):
    """A kind of file that is not read.

    Attributes:
        suffixes: of such files.
        what: it is, as a verb phrase.
        remedy: how to convert its content into a form that is read.
    """

    suffixes: str
    what: str
    remedy: str


def _read_by(reader: str) -> str:
    return f"read it with {reader}, and store its arrays: {SAVE}"


OTHERS = {
    "pickle": Other(
        ".pkl .pickle .pk .p .joblib .pt .pth .ckpt",
        "is a pickle, and nothing is unpickled, because that would run whatever code the file holds",
        f"if you trust it, load it yourself and store its arrays: {SAVE}",
    ),
    "npy": Other(
        ".npy",
        "holds a single array",
        "store all arrays in one file: np.savez('log.npz', observations=np.load('observations.npy'), actions=...)",
    ),
    "csv": Other(".csv .tsv .txt .dat", "is a table of text", _read_by("pandas.read_csv")),
    "parquet": Other(".parquet .pq .feather .arrow", "is a Parquet or Arrow table", _read_by("pandas.read_parquet")),
    "json": Other(".json .jsonl .yaml .yml", "is text", _read_by("Python's json")),
    "mat": Other(".mat", "is a MATLAB file", _read_by("scipy.io.loadmat")),
    "excel": Other(".xlsx .xls .ods", "is a spreadsheet", _read_by("pandas.read_excel")),
    "tfrecord": Other(".tfrecord .tfrecords", "is a TFRecord file", _read_by("TensorFlow")),
    "bag": Other(".bag .db3 .mcap", "is a ROS recording", _read_by("rosbags")),
    "safetensors": Other(".safetensors", "is a safetensors file", _read_by("safetensors.numpy.load_file")),
    "archive": Other(
        ".gz .zip .tar .tgz .bz2 .xz .zst .7z .rar", "is a packed archive", "unpack it, then name its files"
    ),
    "pointer": Other("", "is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
    "page": Other("", "is a web page, left by a failed download", "download the file again"),
    "pictures": Other(".mp4 .avi .mkv .webm .gif .png .jpg .jpeg", "holds images", NO_IMAGES),
}
"""Other kinds of files."""

UNKNOWN = Other("", "is of an unknown kind", f"store its arrays: {SAVE}")

OF_SUFFIX = {suffix: kind for kind, other in OTHERS.items() for suffix in other.suffixes.split()}
MAGIC = {
    b"\x93NUMPY": "npy",
    b"version https://git-lfs": "pointer",
    b"<!DOCTYPE": "page",
    b"<!doctype": "page",
    b"<html": "page",
    b"PAR1": "parquet",
    b"ARROW1": "parquet",
    b"MATLAB 5.0": "mat",
    b"\x1f\x8b": "archive",
    b"BZh": "archive",
    b"\xfd7zXZ": "archive",
    b"\x28\xb5\x2f\xfd": "archive",
    **{bytes([0x80, protocol]): "pickle" for protocol in range(2, 6)},
}
"""How files of a kind begin."""

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
HDF5_PLACES = (0, 512, 1024, 2048, 4096)
"""Where the content of an HDF5 file may begin, after a user block (as in MATLAB's files)."""

Arrays = NpzArrays | Hdf5Arrays


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """The arrays of a file, while it is open.

    Raises:
        DataError: if it is missing or cannot be read; says what it is and what to do.
    """
    with OPENERS[format_of(path)](path) as arrays:
        yield arrays


def format_of(path: Path) -> str:
    """`npz` or `hdf5`, for a file that is one or should be one by its suffix.

    Raises:
        DataError: for any other file, and for one that does not exist; says what it is and what to do.
    """
    if not path.exists():
        raise DataError(absence(path))
    if not path.is_file():
        raise DataError(f"{path} is not a regular file but a pipe or a device; store the data in a file")
    try:
        with open(path, "rb") as file:
            start = file.read(HDF5_PLACES[-1] + len(HDF5_MAGIC))
    except PermissionError:
        raise DataError(f"{path} may not be read by this user (permission denied); change its permissions") from None
    if not start:
        raise DataError(f"{path} is empty (0 bytes); copy or create it again")
    suffix = path.suffix.lower()
    kind = _by_content(path, start) or SUFFIXES.get(suffix) or OF_SUFFIX.get(suffix)
    if kind in OPENERS:
        return kind
    other = OTHERS[kind] if kind else UNKNOWN
    raise DataError(f"{path} {other.what}; {other.remedy}. Only {READ}")


def _by_content(path: Path, start: bytes) -> str | None:
    """The kind of a file that begins like this; None if the beginning does not tell."""
    if any(start[place:].startswith(HDF5_MAGIC) for place in HDF5_PLACES):
        return "hdf5"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_zip(path)
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)


def _of_zip(path: Path) -> str:
    """What a zip archive is: NumPy's npz, PyTorch's pickles, a spreadsheet, or an ordinary archive."""
    if path.suffix.lower() in SUFFIXES:
        return "npz"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "archive"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if any(name.endswith("data.pkl") for name in names):
        return "pickle"
    return "excel" if OF_SUFFIX.get(path.suffix.lower()) == "excel" else "archive"


def looks_like_a_path(name: str) -> bool:
    """Whether a name means a file or folder, existing or not, rather than a task."""
    path = Path(name).expanduser()
    if os.path.lexists(path) or path.is_absolute() or name.startswith((".", "~")):
        return True
    return path.suffix.lower() in {*SUFFIXES, *OF_SUFFIX} or ("/" in name and path.parent.is_dir())


def absence(path: Path) -> str:
    """A message that a file does not exist, with the nearest one that does."""
    if path.is_symlink():
        return f"{path} is a symbolic link to {os.readlink(path)}, which does not exist"
    if not path.parent.is_dir():
        return f"{path} does not exist; there is no folder {path.parent}"
    others = {entry.name.lower(): entry.name for entry in _entries(path.parent) if entry.is_dir() or _is_data(entry)}
    near = nearest(path.name.lower(), others, cutoff=0.0)
    hint = f"the nearest there is {others[near[0]]!r}" if near else "there are no data files in its folder"
    return f"{path} does not exist; {hint}"


def namesake(name: str) -> Path | None:
    """The data file that a name means if only the suffix is missing."""
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        return None
    return next((e for e in _entries(path.parent) if _is_data(e) and e.stem.lower() == path.name.lower()), None)


def natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A key that sorts `demo_2` before `demo_10`."""
    parts = re.findall(r"\d+|\D+", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def data_files(folder: Path) -> list[Path]:
    """The data files of a folder in natural order: its own, or else the only one of each sub-folder.

    Raises:
        DataError: if there are none, or if their names do not tell which are meant.
    """
    entries = _entries(folder)
    files = sorted((entry for entry in entries if _is_data(entry)), key=natural)
    if files:
        twins = [stem for stem, count in Counter(file.stem for file in files).items() if count > 1]
        if twins:
            raise DataError(
                f"{folder} holds {listed(f.name for f in files if f.stem == twins[0])}: the same episode twice? Keep "
                f"one file of each name"
            )
        return files
    inside = {entry: _below(entry) for entry in sorted(entries, key=natural) if entry.is_dir()}
    inside = {entry: found for entry, found in inside.items() if found}
    if len(inside) == 1:
        return data_files(next(iter(inside)))
    if inside and all(len(found) == 1 for found in inside.values()):
        return [found[0] for found in inside.values()]
    if inside:
        counts = listed(f"{entry.name} ({len(found)})" for entry, found in inside.items())
        raise DataError(
            f"{folder}: its sub-folders hold several data files each, {counts}; name one of them, or put one file per "
            f"episode into a single folder"
        )
    raise DataError(_nothing_in(folder, entries))


def _nothing_in(folder: Path, entries: Iterable[Path]) -> str:
    """A message that a folder holds no data, and what it holds instead."""
    expected = f"{folder}: expected one file per episode ({', '.join(SUFFIXES)})"
    if (folder / "config.json").exists() and (folder / "metrics.jsonl").exists():
        return f"{expected}, found a run folder; name its data, or use --resume with --out {folder}"
    kinds = Counter(entry.suffix.lower() or "no suffix" for entry in entries if entry.is_file())
    if not kinds:
        return f"{expected}, found none: the folder is empty"
    found = listed(f"{count} of {suffix}" for suffix, count in kinds.most_common())
    known = next((OF_SUFFIX[suffix] for suffix, _ in kinds.most_common() if suffix in OF_SUFFIX), None)
    return f"{expected}, found none, only {found}" + (f"; {OTHERS[known].remedy}" if known else "")


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except PermissionError:
        raise DataError(f"{folder} may not be read by this user (permission denied); change its permissions") from None


def _below(folder: Path) -> list[Path]:
    """All data files somewhere in a folder."""
    return sorted(
        (
            entry
            for entry in folder.rglob("*")
            if _is_data(entry) and not any(part.startswith(".") for part in entry.relative_to(folder).parts)
        ),
        key=natural,
    )


def _is_data(entry: Path) -> bool:
    """Whether a file has a suffix that is read; broken links count, so that reading them reports the problem."""
    return entry.suffix.lower() in SUFFIXES and not entry.is_dir()
