"""Mistakes that a user can mend: each is one sentence that says what was expected, what was found and what to do."""

import difflib
import re
from collections.abc import Iterable


class DrolError(ValueError):
    """Something that a user can mend.

    Args:
        message: for a Python caller; a remedy in it is named as Python names it.
        shell: the same for someone at the command line, where the remedy is an option; without, `message`.
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
    """Another process of a distributed run is gone."""


def both(text: str) -> tuple[str, str]:
    """A sentence for a Python caller and for the command line, from the latter: `--eval-every` becomes `eval_every`."""
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), text), text


def nearest(name: str, names: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The names most like another, if any are; with a cutoff of 0, `most` of them in any case."""
    return difflib.get_close_matches(name, list(names), n=most, cutoff=cutoff)
