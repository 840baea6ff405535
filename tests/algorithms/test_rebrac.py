"""ReBRAC's delays and penalties, as meant and as in the public code."""

import equinox as eqx
import jax
import numpy as np

from drol.algorithms.rebrac import ReBRAC
from tests.helpers.plain_algorithms import MOMENTUM, close, equal, prepared, update
from tests.helpers.plain_networks import plain_critic, plain_mlp


def rebrac_history(public_momentum):
    """The states before and after three updates, of which the second moves the actor."""
    algorithm = ReBRAC(hidden=(8,), public_momentum=public_momentum, optimizer=MOMENTUM)
    state, batch, noise = prepared(algorithm)
    states, metrics = [state], []
    for _ in range(3):
        state, measured = update(algorithm, state, batch, noise)
        states.append(state)
        metrics.append(measured)
    return states, metrics


def test_rebrac_skips_everything_but_the_critic():
    states, metrics = rebrac_history(public_momentum=False)

    def slow(state):
        return state.networks.actor, state.actor_optimizer, state.target_actor, state.target_critic

    for before, after in ((states[0], states[1]), (states[2], states[3])):
        assert equal(slow(after), slow(before))
        assert not equal(after.networks.critic, before.networks.critic)
        assert not equal(after.critic_optimizer, before.critic_optimizer)
    for mine, other in zip(slow(states[2]), slow(states[1]), strict=True):
        assert not equal(mine, other)
    for name in ("actor_loss", "bc_loss", "q_loss"):
        assert metrics[0][name] == 0
        assert metrics[2][name] == metrics[1][name] != 0
    assert metrics[2]["critic_loss"] != metrics[1]["critic_loss"]


def test_public_momentum_moves_rebracs_actor_in_skipped_updates_after_the_first():
    states, _ = rebrac_history(public_momentum=True)
    actors = [state.networks.actor for state in states]
    assert equal(actors[1], actors[0])
    assert not equal(actors[2], actors[1])
    assert not equal(actors[3], actors[2])
    assert equal(states[3].target_actor, states[2].target_actor)


def test_rebrac_penalises_the_distance_to_the_datas_next_action():
    """In the target: noise cut off, the slow actor's next action clipped, and the square summed over dimensions."""
    algorithm = ReBRAC(hidden=(8,), alpha_critic=5.0, optimizer=MOMENTUM)
    state, batch, noise = prepared(algorithm)
    noise = jax.tree.map(lambda x: 3 * np.asarray(x), noise)
    state = eqx.tree_at(lambda s: s.target_actor.mlp.layers[-1].weight, state, replace_fn=lambda w: 20 * w)
    _, metrics = update(algorithm, state, batch, noise)
    raw = 0.2 * noise.target_noise
    assert (np.abs(raw) > 0.5).any()
    unclipped = np.tanh(plain_mlp(state.target_actor.mlp, batch.next_observations)) + np.clip(raw, -0.5, 0.5)
    assert (np.abs(unclipped) > 1).any()
    actions = np.clip(unclipped, -1, 1)
    next_q = plain_critic(state.target_critic, batch.next_observations, actions).min(axis=0)
    penalty = np.sum((actions - batch.next_actions) ** 2, axis=-1)
    targets = batch.rewards + 0.99 * batch.masks * (next_q - 5 * penalty)
    close(metrics["target_mean"], targets.mean())
    q_values = plain_critic(state.networks.critic, batch.observations, batch.actions)
    close(metrics["critic_loss"], np.mean((q_values - targets) ** 2))
