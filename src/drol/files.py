"""Files written whole or not at all, and errors that say what to do."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


class DataError(ValueError):
    """Data or a file that cannot be used: says what was expected, what was found and what to do.

    Args:
        message: for a Python caller; a remedy in it is named as Python names it.
        shell: the same for someone at the command line, where the remedy is an option; without, `message`.
    """

    def __init__(self, message: str, shell: str | None = None):
        super().__init__(message)
        self.shell = message if shell is None else shell


MOST_NAMES = 12
"""No message lists more."""


def listed(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """Names separated by commas: at most a dozen, then how many there are in all; `none` for none."""
    every = list(map(str, names))
    more = f", ... ({len(every):,} in all)" if len(every) > most else ""
    return (", ".join(every[:most]) + more) or "none"


REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, then run the command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the command again",
    errno.EFBIG: "the file would exceed the allowed size",
    errno.EROFS: "the folder is read-only: choose another with --out",
    errno.EACCES: "permission denied: choose another place with --out",
}
"""What to do where the operating system refuses to write."""


@contextlib.contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into one message that names the file and the remedy.

    Raises:
        OSError: of the same errno, with a message a person can act on.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise OSError(error.errno, f"could not write {path}: {REMEDIES[error.errno]}") from error


def write_atomic(path: str | Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under a temporary name, flush it to the disk, then rename it over `path`.

    Args:
        path: the final name; its folder is made if needed.
        write: fills the open binary file.

    Raises:
        OSError: nothing is left behind, and an older file at `path` is untouched.
    """
    path = Path(path)
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: if it is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not readable as JSON ({error}); it may be damaged") from None


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
