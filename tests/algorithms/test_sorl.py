"""SORL's losses against straight NumPy, as meant and as in the public code."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.algorithms.sorl import NOISE_LEFT, SORL, STEPS
from tests.helpers.batches import SPEC
from tests.helpers.plain_algorithms import ROWS, assert_slopes, plain_flow, prepared
from tests.helpers.plain_networks import plain_critic, plain_mlp
from tests.helpers.small_algorithms import init, noise_of


def plain_sorl(algorithm, state, actor, critic, batch, noise, scale=None):
    """SORL's losses in NumPy, the number of steps taken from the noise; `scale` is 1 / mean |Q|, if it is held."""
    rows = len(batch.rewards)
    k_critic, k_actor = STEPS[int(noise.critic_steps)], STEPS[int(noise.actor_steps)]
    next_actions = plain_flow(
        state.networks.actor, batch.next_observations, noise.next_latent, k_critic, np.log2(k_critic)
    )
    count = np.full((rows, 1), k_critic)
    next_q = plain_critic(state.target_critic, batch.next_observations, next_actions, count).mean(axis=0)
    targets = batch.rewards + 0.99 * batch.masks * next_q
    q_values = plain_critic(critic, batch.observations, batch.actions, count)

    def blend(start, times):
        return (1 - (1 - NOISE_LEFT) * times) * start + times * batch.actions

    times = np.asarray(noise.flow_index) / 8
    level = np.full((rows, 1), 3)
    predicted = plain_mlp(actor.mlp, batch.observations, blend(noise.flow_x0, times), times, level)
    flow_loss = np.mean((predicted - (batch.actions - (1 - NOISE_LEFT) * noise.flow_x0)) ** 2)

    level = np.asarray(noise.consistency_level)
    size = 1 / 2.0**level
    times = noise.consistency_index * size
    points, slow = blend(noise.consistency_x0, times), state.target_actor.mlp
    first = plain_mlp(slow, batch.observations, points, times, level + 1)
    halfway = points + size / 2 * first
    second = plain_mlp(slow, batch.observations, halfway, times + size / 2, level + 1)
    one_step = plain_mlp(actor.mlp, batch.observations, points, times, level)
    consistency_loss = np.mean((points + size * one_step - halfway - size / 2 * second) ** 2 / size**2)

    actions = plain_flow(actor, batch.observations, noise.latent, k_actor, np.log2(k_actor))
    q = plain_critic(state.networks.critic, batch.observations, actions, np.full((rows, 1), k_actor)).mean(axis=0)
    scale = 1 / np.abs(q).mean() if scale is None else scale
    return {
        "q_mean": q_values.mean(),
        "target_mean": targets.mean(),
        "critic_loss": np.mean((q_values - targets) ** 2),
        "flow_loss": flow_loss,
        "consistency_loss": consistency_loss,
        "q_loss": -scale * q.mean(),
        "actor_loss": 10 * flow_loss + 10 * consistency_loss - 5 * scale * q.mean(),
    }, 1 / np.abs(q).mean()


@jax.jit
def both_gradients(algorithm, state, batch, noise):
    of_critic, critic_metrics = algorithm.critic_gradients(state, batch, noise)
    of_actor, metrics = algorithm.actor_gradients(state.networks.actor, state, batch, noise)
    return of_critic, of_actor, critic_metrics | metrics


def with_steps(noise, critic_place, actor_place):
    """SORL's draws that are no normal ones, in place of those that `prepared` made."""
    rng = np.random.default_rng(1)
    level = 2 - np.arange(ROWS)[:, None] % 3
    index, eighths = rng.integers(2**level), rng.integers(8, size=(ROWS, 1))
    return eqx.tree_at(
        lambda n: (n.critic_steps, n.actor_steps, n.consistency_level, n.consistency_index, n.flow_index),
        noise,
        (np.int32(critic_place), np.int32(actor_place), level, index, eighths),
    )


def test_sorl_in_1_2_4_and_8_steps_by_a_straight_computation():
    """Losses and gradients, each number of steps in critic and actor, in float64."""
    with jax.enable_x64(True):
        algorithm = SORL(hidden=(8,), q_coef=5.0)
        state, batch, noise = prepared(algorithm)
        networks = state.networks
        for place in range(4):
            noise = with_steps(noise, place, 3 - place)
            of_critic, of_actor, metrics = both_gradients(algorithm, state, batch, noise)
            # Neither loss moves what it takes from the other.
            assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves((of_critic.actor, of_actor.critic)))
            expected, scale = plain_sorl(algorithm, state, networks.actor, networks.critic, batch, noise)
            for name, value in expected.items():
                assert float(metrics[name]) == pytest.approx(value, rel=1e-9), name

            def actor_loss(actor, noise=noise, scale=scale):
                losses, _ = plain_sorl(algorithm, state, actor, networks.critic, batch, noise, scale)
                return losses["actor_loss"]

            def critic_loss(critic, noise=noise):
                return plain_sorl(algorithm, state, networks.actor, critic, batch, noise)[0]["critic_loss"]

            assert_slopes(actor_loss, networks.actor, of_actor.actor, directions=2)
            assert_slopes(critic_loss, networks.critic, of_critic.critic, directions=1)


def test_sorls_bellman_error_moves_the_actor_in_the_public_code():
    """As its authors mean it the gradient is 0: see above."""
    algorithm = SORL(hidden=(8,), public_update=True)
    state, batch, noise = prepared(algorithm)
    batch, noise = jax.tree.map(jnp.asarray, (batch, with_steps(noise, 1, 0)))
    # The number of steps is a constant here, and the other branches need no compiling.
    gradient, _ = jax.jit(lambda state: algorithm.critic_gradients(state, batch, noise))(state)
    assert all(np.abs(g).max() > 1e-4 for g in jax.tree.leaves(gradient.actor))


def test_sorls_consistency_is_taught_in_thirds_at_whole_steps():
    noise = noise_of(SORL(hidden=(8,)), SPEC, 256, jax.random.key(3))
    levels, counts = np.unique(noise.consistency_level, return_counts=True)
    np.testing.assert_array_equal(levels, [0, 1, 2])
    np.testing.assert_array_equal(counts, [85, 85, 86])
    for level in levels:
        places = np.asarray(noise.consistency_index)[np.asarray(noise.consistency_level) == level]
        np.testing.assert_array_equal(np.unique(places), np.arange(2**level))
    np.testing.assert_array_equal(np.unique(noise.flow_index), np.arange(8))


def test_sorl_acts_in_1_2_4_or_8_steps():
    with pytest.raises(ValueError, match="inference_steps must be one of 1, 2, 4 and 8, found 3"):
        SORL(inference_steps=3)
    algorithm = SORL(hidden=(8,), inference_steps=4)
    assert algorithm.policy(init(algorithm, SPEC, jax.random.key(0))).steps == 4
