"""FAWAC's weights against straight NumPy."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from drol.algorithms.fawac import FAWAC
from tests.helpers.plain_algorithms import close, measure, plain_matching, prepared
from tests.helpers.plain_networks import plain_critic, plain_mlp


def test_fawac_weighs_no_row_more_than_a_hundred():
    algorithm = FAWAC(hidden=(8,), flow_steps=3, inverse_temperature=3.0)
    state, batch, noise = prepared(algorithm)
    errors = plain_matching(state.networks.flow, batch, noise)
    q = plain_critic(state.networks.critic, batch.observations, batch.actions).mean(axis=0)
    slow_q = plain_critic(state.target_critic, batch.observations, batch.actions)
    for temperature, shift in ((3.0, 0.0), (1e30, 0.0), (3.0, -1e6)):
        there = eqx.tree_at(lambda s: s.networks.value.mlp.layers[-1].bias, state, np.full(1, shift, np.float32))
        own = eqx.tree_at(lambda a: a.inverse_temperature, algorithm, jnp.asarray(temperature, jnp.float32))
        metrics = measure(own, there, batch, noise)
        values = plain_mlp(there.networks.value.mlp, batch.observations)[:, 0]
        with np.errstate(over="ignore"):
            weights = np.minimum(np.exp(temperature * (q - values)), 100)
        close(metrics["value_loss"], np.mean((slow_q - values) ** 2))
        close(metrics["weight_mean"], weights.mean())
        close(metrics["actor_loss"], np.mean(weights * errors))
    assert (weights == 100).all()
