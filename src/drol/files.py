"""Files that are written completely or not at all, and errors that say what to do."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from drol.errors import DataError

JsonValue = bool | int | float | str | list[Any] | Mapping[str, Any] | None
"""What a JSON text says, as `json` reads it."""

MOST_NAMES = 12
"""The most names that a message lists."""


def listed(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """Names separated by commas: at most a dozen, then how many there are in all; `none` for none."""
    every = list(map(str, names))
    more = f", ... ({len(every):,} in all)" if len(every) > most else ""
    return (", ".join(every[:most]) + more) or "none"


def counted(number: int, noun: str) -> str:
    """A number and what it counts: `1 episode`, `2,000 episodes`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


DESCRIPTION_BYTES = 64 << 20
"""The largest description that is read: policy.json, config.json and similar files take kilobytes."""

DEEPEST = 100
"""The deepest nesting of lists and objects that is read; descriptions have a handful of levels."""


class Remedy(NamedTuple):
    """Why the operating system refuses to write, and what to do about it.

    Attributes:
        cause: what is wrong.
        mend: what to do before trying again.
        elsewhere: whether writing to another place would also help.
    """

    cause: str
    mend: str
    elsewhere: bool = False


REMEDIES = {
    errno.ENOSPC: Remedy("the disk is full", "free some space"),
    errno.EDQUOT: Remedy("the disk quota is used up", "free some space"),
    errno.EFBIG: Remedy("the file would exceed the allowed size", "raise the limit (ulimit -f)"),
    errno.EROFS: Remedy("the folder is read-only", "make it writable", elsewhere=True),
    errno.EACCES: Remedy("permission denied", "get permission to write there", elsewhere=True),
}
"""By errno."""


class WriteError(OSError):
    """The operating system refused to write a file: says which, why, and what to do.

    Args:
        code: the `errno`.
        path: the file.
        remedy: for the code; the entry of `REMEDIES` by default.
        again: what to do at the command line once the cause is fixed, if writing elsewhere is not an option.
    """

    def __init__(self, code: int, path: Path, remedy: Remedy | None = None, again: str | None = None):
        self.path, self.remedy = path, REMEDIES[code] if remedy is None else remedy
        said = f"could not write {path}: {self.remedy.cause}: {self.remedy.mend}"
        elsewhere = self.remedy.elsewhere and again is None
        super().__init__(code, f"{said}, or choose another place" if elsewhere else f"{said} and try again")
        self.shell = f"{said}, or choose another place with --out"
        if not elsewhere:
            self.shell = f"{said}, then {again or 'run the command again'}"

    def __str__(self) -> str:
        return str(self.strerror)


@contextlib.contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into one message that names the file and the remedy.

    Raises:
        WriteError: with the same errno, and a message that the user can act on.
    """
    try:
        yield
    except WriteError:
        raise  # it already names the file
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise WriteError(error.errno, path) from error


def write_atomic(path: str | Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under a temporary name, flush it to the disk, then rename it over `path`.

    Anything but a regular file (a pipe, /dev/stdout, /dev/null) cannot be replaced, and is written to directly.

    Args:
        path: the final name; its folder is made if needed.
        write: fills the open binary file.

    Raises:
        DataError: if `path` is a folder.
        OSError: if writing fails; then nothing is left behind, and an older file at `path` is untouched.
    """
    path = Path(path)
    refuse_folder(path)
    with clear_write_errors(path):
        if path.exists() and not path.is_file():
            with open(path, "wb") as stream:
                write(stream)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _new_part(path)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def refuse_folder(path: str | Path) -> None:
    """Raise if there is a folder where a file is to be written.

    Raises:
        DataError: naming it.
    """
    if Path(path).is_dir():
        raise DataError(f"{path} is a folder; give the name of a file to write")


def _new_part(path: Path) -> tuple[int, Path]:
    """A new, open file next to `path`, with the process's default permissions for new files."""
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        with contextlib.suppress(FileExistsError):
            return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), part


def write_json(path: str | Path, value: JsonValue) -> None:
    """Write `value` as indented JSON, completely or not at all."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def null_for_nan(value: JsonValue) -> Any:
    """The same JSON value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: null_for_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_bytes(path: str | Path, limit: int | None = None) -> bytes:
    """The content of a regular file; pipes and devices, which might never end, are refused.

    Args:
        path: its name.
        limit: the most bytes it may have.

    Raises:
        DataError: if it is missing, not a regular file, or larger.
        OSError: if it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} does not exist") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} should be a regular file, but is a folder, a pipe or a device")
        if limit is not None and found.st_size > limit:
            raise DataError(f"{path} should have at most {limit:,} bytes, but has {found.st_size:,}; is it damaged?")
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def read_json(path: str | Path, *, finite: bool = True) -> Any:
    """Read a JSON file.

    Args:
        path: its name.
        finite: refuse NaN and infinity, which are not JSON but which Python would accept.

    Raises:
        DataError: if it is missing, not a regular file, or not JSON.
        OSError: if it cannot be read.
    """
    content = read_bytes(path, DESCRIPTION_BYTES)
    try:
        return parse_json(content, finite=finite)
    except ValueError as error:
        raise DataError(f"{path} is not readable as JSON ({error}); it may be damaged") from None


def parse_json(content: str | bytes, *, finite: bool = True) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: for any text that is not JSON, or is nested too deeply to be read.
    """
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if finite else {}
    text = content if isinstance(content, str) else content.decode()
    try:
        value = json.loads(text, **hooks)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_depth(value)
    return value


def _refuse_depth(value: JsonValue) -> None:
    """Refuse a value that could be read but is nested too deeply to be written or shown again."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for outer in level
            if isinstance(outer, list | dict)
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def checksum(text: str) -> str:
    """A SHA-256 in hexadecimal, converted to lower case.

    Raises:
        ValueError: if it is not one.
    """
    if not re.fullmatch("[0-9a-fA-F]{64}", text.strip()):
        raise ValueError(f"expected a SHA-256 of 64 hexadecimal digits, found {text!r}")
    return text.strip().lower()


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
