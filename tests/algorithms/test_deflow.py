"""DeFlow's correction and its multiplier."""

import numpy as np
import pytest

from drol.algorithms.deflow import DeFlow
from tests.helpers.plain_algorithms import MOMENTUM, close, measure, plain_flow, prepared, update
from tests.helpers.plain_networks import plain_critic, plain_mlp


def test_deflow_without_a_multiplier_weighs_the_correction_once():
    algorithm = DeFlow(hidden=(8,), flow_steps=3, lagrange=False, alpha=10.0)
    state, batch, noise = prepared(algorithm)
    assert state.networks.log_alpha is None
    base = plain_flow(state.networks.flow, batch.observations, noise.latent, 3)
    correction = plain_mlp(state.networks.refiner.mlp, batch.observations, base)
    actions = np.clip(base + correction, -1, 1)
    q = plain_critic(state.networks.critic, batch.observations, actions).mean(axis=0)
    metrics = measure(algorithm, state, batch, noise)
    close(metrics["divergence"], np.mean(correction**2))
    close(metrics["actor_loss"], 10 * np.mean(correction**2) - q.mean() / np.abs(q).mean())


@pytest.mark.parametrize(("bound", "sign"), [(0.0, 1), (10.0, -1)])
def test_deflows_multiplier_rises_above_the_bound_and_falls_below(bound, sign):
    """By the difference, where the optimizer is plain descent; the bound itself does not move."""
    algorithm = DeFlow(hidden=(8,), flow_steps=3, target_divergence=bound, optimizer=MOMENTUM)
    state, batch, noise = prepared(algorithm)
    after, metrics = update(algorithm, state, batch, noise)
    divergence = float(metrics["divergence"])
    assert sign * (divergence - bound) > 0.01
    close(after.networks.log_alpha - state.networks.log_alpha, [1e-2 * (divergence - bound)], rtol=1e-3)
    log_alpha = state.networks.log_alpha.item()
    close(metrics["alpha_loss"], -log_alpha * (divergence - bound))
    close(metrics["actor_loss"], np.exp(log_alpha) * divergence + metrics["q_loss"] + metrics["alpha_loss"])
