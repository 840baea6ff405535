"""Fixtures and profiles shared by all tests."""

import tests.compiler  # noqa: I001  (before JAX starts)

import functools

import jax
import jax.numpy as jnp
import pytest

import tests.profiles  # noqa: F401  (chooses Hypothesis's profile)
from drol import DROL, Batch, Spec

SPEC = Spec(observation_dim=4, action_dim=3)


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


def random_batch(key, rows: int, spec: Spec = SPEC) -> Batch:
    """Plausible transitions: bounded actions, some of them terminal."""
    keys = jax.random.split(key, 6)
    return Batch(
        observations=jax.random.normal(keys[0], (rows, spec.observation_dim)),
        actions=jax.random.uniform(keys[1], (rows, spec.action_dim), minval=-1.0),
        rewards=jax.random.normal(keys[2], (rows,)),
        masks=jax.random.bernoulli(keys[3], 0.8, (rows,)).astype("float32"),
        next_observations=jax.random.normal(keys[4], (rows, spec.observation_dim)),
        next_actions=jax.random.uniform(keys[5], (rows, spec.action_dim), minval=-1.0),
    )


@functools.partial(jax.jit, static_argnums=1)
def init(algorithm, spec: Spec, key):
    """`algorithm.init`, compiled: much faster than op by op."""
    return algorithm.init(spec, key=key)


@functools.partial(jax.jit, static_argnums=(1, 2))
def noise_of(algorithm, spec: Spec, rows: int, key):
    """`algorithm.noise` for rows 0 .. rows - 1, compiled."""
    return algorithm.noise(spec, jnp.arange(rows), key=key)
