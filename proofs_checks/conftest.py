"""Settings of the checks: Hypothesis's profile, and float64 for everything that is not about float32."""

import tests.helpers.compiler  # noqa: I001  (before JAX starts)

import jax
import pytest

import tests.helpers.profiles  # noqa: F401  (chooses Hypothesis's profile)


@pytest.fixture(autouse=True)
def double_precision():
    """Check mathematics in float64, so that tolerances need to cover rounding only."""
    with jax.enable_x64(True):
        yield
