"""Errors that the user can fix: each message says in one sentence what was expected, what was found and what to do."""

import difflib
import re
from collections.abc import Iterable


class DrolError(ValueError):
    """An error that the user can fix.

    Args:
        message: for Python callers; remedies are named as in Python.
        shell: the same message for the command line, where remedies are options; `message` by default.
    """

    def __init__(self, message: str, shell: str | None = None):
        super().__init__(message)
        self.shell = message if shell is None else shell


class DataError(DrolError):
    """Data or a file that cannot be used."""


class UsageError(DrolError):
    """A command line or a configuration that contradicts itself."""


class DivergedError(RuntimeError):
    """A loss or a parameter became NaN or infinite."""


class LostProcessError(RuntimeError):
    """Another process of a distributed run has died."""


def both(text: str) -> tuple[str, str]:
    """A command-line message for Python callers (`--eval-every` becomes `eval_every`), and the message itself."""
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), text), text


def nearest(name: str, names: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The names closest to `name`, if any are close enough; with a cutoff of 0, always `most` of them."""
    return difflib.get_close_matches(name, list(names), n=most, cutoff=cutoff)
