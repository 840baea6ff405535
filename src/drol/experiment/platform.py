"""The platform that JAX is told to use, checked before a command starts work on it."""

import os
import textwrap
from typing import TYPE_CHECKING

from drol.errors import DataError
from drol.extras import lazy

if TYPE_CHECKING:
    import jax
    from jax.extend import backend
else:
    jax, backend = lazy("jax"), lazy("jax.extend.backend")

VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")


def check_platform() -> None:
    """Start JAX, which names no platform and no remedy if the environment asks for one that is not there.

    Raises:
        DataError: naming what was asked for, what there is, and the remedy.
    """
    given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not given:
        return
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # for cuda and rocm it asserts, without a word
        reason = textwrap.shorten(str(error).partition(" (set JAX_PLATFORMS")[0], 200)
        asked = " ".join(f"{name}={value}" for name, value in given.items())
        raise DataError(
            f"{asked} asks for a platform that JAX cannot use here{f' ({reason})' if reason else ''}; available: "
            f"{', '.join(_available())}. Unset {' and '.join(given)} to use what there is, or install JAX for the other"
        ) from None


def _available() -> list[str]:
    """The platforms on which JAX does start."""
    jax.config.update("jax_platforms", None)
    jax.config.update("jax_platform_name", "")
    return list(backend.backends())
