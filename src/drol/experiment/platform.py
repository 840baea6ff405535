"""Check the platform that JAX is told to use, before a command starts to work."""

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
    """Start JAX, with a clear error if the environment variables ask for a platform that is not available.

    Raises:
        DataError: naming the requested platform, those that are available, and the remedy.
    """
    given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not given:
        return
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion without a message for cuda and rocm
        reason = textwrap.shorten(str(error).partition(" (set JAX_PLATFORMS")[0], 200)
        asked = " ".join(f"{name}={value}" for name, value in given.items())
        raise DataError(
            f"{asked} asks for a platform that JAX cannot use here{f' ({reason})' if reason else ''}; available: "
            f"{', '.join(_available())}. Unset {' and '.join(given)} to use these, or install JAX for the other"
        ) from None


def _available() -> list[str]:
    """The platforms on which JAX does start."""
    jax.config.update("jax_platforms", None)
    jax.config.update("jax_platform_name", "")
    return list(backend.backends())
