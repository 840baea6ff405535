"""Batches of random transitions, and their shape."""

import jax

from drol import Batch, Spec

SPEC = Spec(observation_dim=4, action_dim=3)


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
