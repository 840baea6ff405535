"""MeanFlow-QL's losses against straight NumPy, and the one pass that acts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.algorithm import from_record, hyperparameters
from drol.algorithms.meanflow_ql import MeanFlowQL
from tests.helpers.batches import SPEC
from tests.helpers.plain_algorithms import ROWS, close, measure, prepared, update
from tests.helpers.plain_networks import plain_critic, plain_mlp
from tests.helpers.small_algorithms import init


def test_the_losses_by_a_straight_computation():
    """The derivative along the line by central differences; targets beyond the limit, actions out of bounds."""
    with jax.enable_x64(True):
        algorithm = MeanFlowQL(hidden=(8,), num_candidates=9, alpha=7.0, bound_coef=2.0, error_power=0.6, q_agg="min")
        state, batch, noise = prepared(algorithm)
        noise = eqx.tree_at(lambda n: n.flow_start, noise, replace_fn=lambda start: 4 * start)
        metrics = measure(algorithm, state, batch, noise)
    field, times = state.networks.actor.mlp, np.asarray(noise.flow_t)

    def g(observations, x, t):
        return plain_mlp(field, observations, x, np.broadcast_to(t, (*x.shape[:-1], 1)))

    velocity = noise.flow_start - batch.actions
    ahead, behind = (g(batch.observations, batch.actions + t * velocity, t) for t in (times + 1e-6, times - 1e-6))
    points, derivative = batch.actions + times * velocity, (ahead - behind) / 2e-6
    target = points - (1 - times) * velocity - times * derivative
    assert 0 < np.mean(np.abs(target) > 5) < 1
    errors = np.mean((g(batch.observations, points, times) - np.clip(target, -5, 5)) ** 2, axis=-1)
    flow_loss = np.mean(errors / (errors + 1e-4) ** 0.6)
    close(metrics["flow_loss"], flow_loss)

    actions = g(batch.observations, noise.latent, 1.0)
    bound_loss = np.mean(np.maximum(actions - 1, 0)) + np.mean(np.maximum(-1 - actions, 0))
    assert bound_loss > 0
    q_loss = -plain_critic(state.networks.critic, batch.observations, np.clip(actions, -1, 1)).mean()
    close(metrics["q_loss"], q_loss)
    close(metrics["bound_loss"], bound_loss)
    close(metrics["actor_loss"], 7 * flow_loss + q_loss + 2 * bound_loss)

    next_q = []
    for i in range(9):
        candidates = np.clip(g(batch.next_observations, noise.next_latents[:, i], 1.0), -1, 1)
        next_q.append(plain_critic(state.target_critic, batch.next_observations, candidates))
    next_q = np.stack(next_q, axis=-1)
    best = next_q.mean(axis=0).argmax(axis=-1)
    assert (best != next_q.min(axis=0).argmax(axis=-1)).any(), "ranks by the mean, values by the minimum"
    chosen = next_q.min(axis=0)[np.arange(ROWS), best]
    targets = batch.rewards + 0.99 * batch.masks * chosen
    q_values = plain_critic(state.networks.critic, batch.observations, batch.actions)
    close(metrics["critic_loss"], np.mean((q_values - targets) ** 2))


def test_the_policy_is_the_field_at_noise_in_one_pass(key):
    """Best of the same few candidates, which the slow critic ranks."""
    algorithm = MeanFlowQL(hidden=(8, 8), num_candidates=4)
    state = init(algorithm, SPEC, key)
    state = eqx.tree_at(lambda s: s.networks.actor, state, jax.tree.map(lambda x: x + 0.1, state.networks.actor))
    # At the start both critics are equal.
    state = eqx.tree_at(lambda s: s.target_critic, state, jax.tree.map(lambda x: x + 0.2, state.target_critic))
    policy = algorithm.policy(state)
    assert (policy.choice.how, policy.choice.num_samples, policy.prior) == ("best-of-n", 4, "normal")
    observation, latents = jax.random.normal(key, (SPEC.observation_dim,)), jax.random.normal(key, (4, 3))
    field = state.networks.actor
    actions = jnp.stack([field(observation, latent, 1.0) for latent in latents])
    np.testing.assert_allclose(policy.sample(observation, latents), jnp.clip(actions, -1, 1), rtol=1e-5, atol=1e-6)
    for mine, slow in zip(jax.tree.leaves(policy.critic), jax.tree.leaves(state.target_critic), strict=True):
        np.testing.assert_array_equal(mine, slow)


def test_published_power_rates_and_target(key):
    """w = (e + c)^-0.2; Adam at 3e-4 for the critic and 1e-4 for the actor; the slow critic averages after the step."""
    algorithm = MeanFlowQL(hidden=(8,), num_candidates=2)
    assert float(algorithm.error_power) == pytest.approx(1 - 0.8)
    before, batch, noise = prepared(algorithm)
    after, _ = update(algorithm, before, batch, noise)

    def longest_step(name):
        steps = jax.tree.map(lambda a, b: np.abs(a - b).max(), *(getattr(s.networks, name) for s in (before, after)))
        return max(jax.tree.leaves(steps))

    # Adam's first step has the length of its learning rate.
    assert longest_step("critic") == pytest.approx(3e-4, rel=1e-2)
    assert longest_step("actor") == pytest.approx(1e-4, rel=1e-2)
    expected = jax.tree.map(lambda slow, new: 0.995 * slow + 0.005 * new, before.target_critic, after.networks.critic)
    for mine, other in zip(jax.tree.leaves(after.target_critic), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-8)
    older = before.networks.critic.members.layers[0].weight
    lagged = 0.995 * before.target_critic.members.layers[0].weight + 0.005 * older
    assert np.abs(after.target_critic.members.layers[0].weight - lagged).max() > 1e-6


def test_a_record_of_the_version_before_keeps_its_numbers():
    """One learning rate for both networks, the power that was recorded, and a slow copy that lags."""
    record = hyperparameters(MeanFlowQL(hidden=(8,), error_power=0.8, learning_rate=2e-4))
    del record["actor_learning_rate"], record["target_lag"]
    algorithm = from_record(MeanFlowQL, record)
    assert float(algorithm.actor_learning_rate) == pytest.approx(2e-4)
    assert algorithm.target_lag
    assert float(algorithm.error_power) == pytest.approx(0.8)
    assert not from_record(MeanFlowQL, hyperparameters(MeanFlowQL())).target_lag
