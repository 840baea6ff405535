"""A policy to roll out."""

import jax
import pytest

from drol import DROL
from tests.helpers.batches import SPEC
from tests.helpers.small_algorithms import init


@pytest.fixture(scope="module")
def policy():
    algorithm = DROL(hidden=(16,))
    return algorithm.policy(init(algorithm, SPEC, jax.random.key(0)))
