"""Fixtures shared by all tests."""

import tests.helpers.compiler  # noqa: I001  (before JAX starts)

import jax
import pytest

import tests.helpers.profiles  # noqa: F401  (chooses Hypothesis's profile)
from drol import DROL
from tests.helpers.batches import SPEC, random_batch


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def spec():
    return SPEC


@pytest.fixture
def algorithm():
    return DROL(num_candidates=4, hidden=(16, 16), bc_coef=2.0, discount=0.9)


@pytest.fixture
def batch():
    return random_batch(jax.random.key(1), 8)
