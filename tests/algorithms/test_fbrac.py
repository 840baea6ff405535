"""FBRAC's gradient through the flow, against differences."""

import jax
import numpy as np
import pytest

from drol.algorithms.fbrac import FBRAC
from tests.helpers.plain_algorithms import assert_slopes, plain_flow, plain_matching, prepared
from tests.helpers.plain_networks import plain_critic


def test_fbracs_gradient_runs_through_every_step():
    """In float64, with actions on both sides of the clip."""
    with jax.enable_x64(True):
        algorithm = FBRAC(hidden=(8,), flow_steps=5, alpha=0.5)
        state, batch, noise = prepared(algorithm)

        def of_flow(state, batch, noise):
            gradient, metrics = algorithm.gradients(state, batch, noise)
            return gradient.flow, metrics

        def actor_loss(flow):
            actions = plain_flow(flow, batch.observations, noise.latent, 5)
            q = plain_critic(state.networks.critic, batch.observations, actions).mean()
            return 0.5 * plain_matching(flow, batch, noise).mean() - q

        gradient, metrics = jax.jit(of_flow)(state, batch, noise)
        flow = state.networks.flow
        saturated = np.abs(plain_flow(flow, batch.observations, noise.latent, 5)) == 1
        assert 0 < saturated.mean() < 1
        assert float(metrics["actor_loss"]) == pytest.approx(actor_loss(flow), rel=1e-9)
        assert_slopes(actor_loss, flow, gradient)
