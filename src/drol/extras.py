"""Optional dependencies, and the one error that says how to install them."""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator


class MissingExtraError(ImportError):
    """An optional part of the installation is needed and absent."""


def require(module: str, extra: str) -> None:
    """Check that `module` can be imported, without importing it.

    Raises:
        MissingExtraError: naming the command that installs it.
    """
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is absent
        found = False
    if not found:
        raise MissingExtraError(
            f"this needs the package {module!r}, which is not installed; install it with: pip install 'drol[{extra}]' "
            f"(in a clone: pip install -e '.[{extra}]')"
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of third-party environments (no display, lowered precision): not the user's concern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
