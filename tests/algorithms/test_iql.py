"""Implicit Q-learning: IQL and IFQL against straight NumPy."""

import equinox as eqx
import numpy as np
import pytest

from drol import Choice
from drol.algorithms.ifql import IFQL
from drol.algorithms.iql import IQL
from tests.helpers.plain_algorithms import close, measure, prepared
from tests.helpers.plain_networks import plain_critic, plain_mlp


@pytest.mark.parametrize("algorithm", [IQL, IFQL])
def test_implicit_q_learning_adds_up_its_members(algorithm):
    """And takes the online V in the target, the slow critic for V, the online critic for the advantage."""
    algorithm = algorithm(hidden=(8,), ensemble=3, expectile=0.8)
    state, batch, noise = prepared(algorithm)
    # A V that lets some advantages reach the cap.
    state = eqx.tree_at(lambda s: s.networks.value.mlp.layers[-1].bias, state, np.float32([-2.0]))
    networks = state.networks
    q_values = plain_critic(networks.critic, batch.observations, batch.actions)
    slow_q = plain_critic(state.target_critic, batch.observations, batch.actions).min(axis=0)
    values = plain_mlp(networks.value.mlp, batch.observations)[:, 0]
    next_values = plain_mlp(networks.value.mlp, batch.next_observations)[:, 0]
    metrics = measure(algorithm, state, batch, noise)
    targets = batch.rewards + 0.99 * batch.masks * next_values
    close(metrics["critic_loss"], sum(np.mean((member - targets) ** 2) for member in q_values))
    residuals = slow_q - values
    close(metrics["value_loss"], np.mean(np.where(residuals < 0, 0.2, 0.8) * residuals**2))
    if isinstance(algorithm, IQL):
        weights = np.minimum(np.exp(10 * (q_values.min(axis=0) - values)), 100)
        assert 0 < np.mean(weights == 100) < 1
        squares = np.sum((plain_mlp(networks.actor.mlp, batch.observations) - batch.actions) ** 2, axis=-1)
        close(metrics["actor_loss"], np.mean(weights * (squares + 3 * np.log(2 * np.pi)) / 2))
    else:
        policy = algorithm.policy(state)
        assert policy.choice == Choice("best-of-n", q_agg="min", num_samples=32)
