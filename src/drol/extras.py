"""Optional dependencies, and the one error that says how to install them."""

import contextlib
import importlib
import importlib.util
import re
import shlex
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
"""The root of the clone that this file is in; an unrelated folder if drol is installed as a copy."""

NEEDS_LABMAZE = {"ogbench", "test", "dev"}
"""Extras with dm_control, which requires labmaze: never imported, and without wheels from Python 3.13 on."""


class MissingExtraError(ImportError):
    """An optional dependency is needed but not installed."""


class _LazyModule(ModuleType):
    """A module that is imported when a name in it is first used."""

    def __init__(self, module: str, extra: str | None):
        super().__init__(module)
        self._extra = extra

    def __getattr__(self, name: str) -> Any:
        if self._extra is not None:
            require(self.__name__, self._extra)
        return getattr(importlib.import_module(self.__name__), name)


def lazy(module: str, extra: str | None = None) -> Any:
    """A module that is optional or slow to import, and is imported when a name in it is first used.

    This lets modules name at the top what they use, and still be imported where it is not installed:

        if TYPE_CHECKING:
            import gymnasium
        else:
            gymnasium = lazy("gymnasium", "train")

    Args:
        module: its dotted name; no name in it is looked up here.
        extra: the extra that installs it; None for this library's own modules.

    Raises:
        MissingExtraError: on first use, if it is not installed; the message gives the install command.
    """
    return _LazyModule(module, extra)


def require(module: str, extra: str) -> None:
    """Check that `module` can be imported, without importing it; see `require_all`."""
    require_all({module: extra})


def require_all(needed: Mapping[str, str]) -> None:
    """Check that all these modules can be imported, without importing any.

    Args:
        needed: the extra that installs each module, by module.

    Raises:
        MissingExtraError: naming all that are missing, and the one command that installs them.
    """
    absent = [module for module in needed if not is_installed(module)]
    if absent:
        *others, last = map(repr, absent)
        names, are = (f"packages {', '.join(others)} and {last}", "are") if others else (f"package {last}", "is")
        command = install_command({needed[module] for module in absent})
        raise MissingExtraError(f"this needs the {names}, which {are} not installed; install with: {command}")


def is_installed(module: str) -> bool:
    """Whether a module could be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is not installed
        return False


def install_command(extras: Iterable[str]) -> str:
    """A shell command that installs `extras` into the running interpreter's environment.

    In a clone it installs the clone's extras. A copy of drol has no folder to install from, and may not be in any
    package index, so there it installs the extras' packages by their own names.
    """
    names = sorted(extras)
    excludes_labmaze = sys.version_info >= (3, 13) and not NEEDS_LABMAZE.isdisjoint(names)
    first, installer = _installer(uv=excludes_labmaze)
    if all((ROOT / file).is_file() for file in ("pyproject.toml", "src/drol/extras.py")):
        return f"cd {shlex.quote(str(ROOT))} && {first}{installer} -e {shlex.quote('.[' + ','.join(names) + ']')}"
    packages = shlex.join(sorted({package for name in names for package in _packages(name)}))
    return (
        f"{first}echo labmaze | {installer} --excludes - {packages}" if excludes_labmaze else f"{installer} {packages}"
    )


def _installer(*, uv: bool) -> tuple[str, str]:
    """The start of a command that has to run first, if any, and this environment's `... pip install`.

    Args:
        uv: whether it has to be uv, because pip cannot exclude a dependency.
    """
    python = shlex.quote(sys.executable)
    by_uv = f"{python} -m uv pip install --python {python}"
    if is_installed("uv"):
        return "", by_uv
    if not is_installed("pip"):
        return "", f"uv pip install --python {python}"
    return (f"{python} -m pip install uv && ", by_uv) if uv else ("", f"{python} -m pip install")


def _packages(extra: str) -> Iterator[str]:
    """The requirements of an extra of the installed drol, including those of extras that it includes."""
    from importlib import metadata  # a fifth of the time of `drol --help`, and needed only when something is missing

    for line in metadata.requires("drol") or []:
        match = re.fullmatch(r"([^;]+?)\s*;\s*extra == ['\"](.+)['\"]", line)
        if match is None or match[2] != extra:
            continue
        if (included := re.fullmatch(r"drol\[(.+)\]", match[1])) is not None:
            for name in included[1].split(","):
                yield from _packages(name)
        else:
            yield match[1]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings of third-party environments (no display, lowered precision), which users can ignore."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
