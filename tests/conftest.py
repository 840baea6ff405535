"""Fixtures shared by all tests."""

import tests.helpers.compiler  # noqa: I001  (before JAX starts)

import gc
import os

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


MOST_MAPPINGS = 30_000
"""Half of what Linux allows a process by default: every compiled program takes several, and beyond that LLVM aborts."""

EVERY = 20
"""Tests after which mappings are counted."""


def pytest_runtest_teardown(item, nextitem):
    item.session.drol_count = getattr(item.session, "drol_count", 0) + 1
    if item.session.drol_count % EVERY == 0 and os.path.exists("/proc/self/maps"):
        with open("/proc/self/maps", "rb") as mappings:
            many = sum(1 for _ in mappings) > MOST_MAPPINGS
        if many:
            jax.clear_caches()
            gc.collect()
