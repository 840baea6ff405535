"""Modules that a user names on the command line: `module:Id-v0`, `module:Class`."""

import contextlib
import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


def import_named(name: str) -> ModuleType:
    """Import a module by a name that the user typed, looking in the current folder too.

    A console script does not have the current folder on its path. The named module is looked up there first, as with
    `python -m`; what it imports is looked up there last, so that no file of that folder hides an installed package.
    Never call this with a name that was read from a file.

    Args:
        name: the dotted name.

    Raises:
        ImportError: if there is no such module, or importing it fails; the message says which.
    """
    if "/" in name or name.endswith(".py"):
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise ImportError(f"{name!r} is the name of a file; give the name of the module, {dotted!r}")
    folder = _current_folder()
    if folder is not None and folder not in sys.path:
        sys.path.append(folder)
    top = name.partition(".")[0]
    try:
        if folder is not None and top not in sys.modules and (own := PathFinder.find_spec(top, [folder])) is not None:
            _load(own)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ImportError(f"module {name!r} imports {error.name!r}, which is not installed") from None
        where = f"in {folder or 'the current folder'}, on PYTHONPATH or installed"
        raise ImportError(f"there is no module {name!r} {where}") from None
    except (Exception, SystemExit) as error:  # raised by the user's code
        raise ImportError(f"module {name!r} fails while it is imported: {type(error).__name__}: {error}") from None


def _current_folder() -> str | None:
    with contextlib.suppress(FileNotFoundError):  # it was removed
        return str(Path.cwd())
    return None


def _load(spec: ModuleSpec) -> None:
    """Load a module from a spec that `import` would not find first; a namespace package is skipped."""
    if spec.loader is None or spec.origin is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
