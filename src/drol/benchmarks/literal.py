"""Eq. 8 as written: all K candidates are differentiated.

The oracle of the tests and the baseline of `drol bench step`: it shares only the networks with the production update.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from drol.algorithms.drol import DROL, DROLGradients, DROLNoise, DROLState
from drol.types import Batch


def literal_gradients(
    algorithm: DROL, state: DROLState, batch: Batch, noise: DROLNoise, *, critic_on_all: bool
) -> DROLGradients:
    """The gradients of the actor's and the critic's loss, without the winner-only shortcut.

    Args:
        algorithm: its hyperparameters.
        state: parameters.
        batch: transitions.
        noise: this update's latents.
        critic_on_all: evaluate Q on all K candidates and then pick the winner's, as the authors' code does; otherwise
            on the winners alone.
    """

    def mean_or_min(values, how):
        return values.min(axis=0) if how == "min" else values.mean(axis=0)

    def actor_loss(actor):
        count = algorithm.num_candidates
        observations = jnp.repeat(batch.observations[:, None], count, axis=1)
        candidates = actor(observations, noise.candidates)
        distances = ((candidates - batch.actions[:, None]) ** 2).sum(axis=-1)
        winner = jnp.argmin(jax.lax.stop_gradient(distances), axis=1)[:, None]
        squared_error = jnp.take_along_axis(distances, winner, axis=1) / batch.actions.shape[-1]
        if critic_on_all:
            every_q = mean_or_min(state.critic(observations, candidates), algorithm.actor_q_agg)
            q = jnp.take_along_axis(every_q, winner, axis=1)
        else:
            chosen = jnp.take_along_axis(candidates, winner[..., None], axis=1)[:, 0]
            q = mean_or_min(state.critic(batch.observations, chosen), algorithm.actor_q_agg)
        scale = 1.0
        if algorithm.normalize_q:
            scale = 1 / jnp.maximum(jnp.abs(jax.lax.stop_gradient(q)).mean(), 1e-6)
        return algorithm.bc_coef * squared_error.mean() - algorithm.q_coef * scale * q.mean()

    def critic_loss(critic):
        count = algorithm.backup_candidates
        following = jnp.repeat(batch.next_observations[:, None], count, axis=1)
        next_actions = state.actor(following, noise.next_latents)
        next_q = state.target_critic(following, next_actions)
        best = jnp.argmax(next_q.min(axis=0), axis=1)[:, None]
        value = jnp.take_along_axis(mean_or_min(next_q, algorithm.q_agg), best, axis=1)[:, 0]
        target = batch.rewards + algorithm.discount * batch.masks * value
        return ((critic(batch.observations, batch.actions) - jax.lax.stop_gradient(target)) ** 2).mean()

    return DROLGradients(jax.grad(actor_loss)(state.actor), jax.grad(critic_loss)(state.critic))


def literal_update(
    algorithm: DROL, state: DROLState, batch: Batch, noise: DROLNoise, *, critic_on_all: bool
) -> DROLState:
    """One update with `literal_gradients` and Adam."""
    gradients = literal_gradients(algorithm, state, batch, noise, critic_on_all=critic_on_all)
    optimizer, params = optax.adam(algorithm.learning_rate), functools.partial(eqx.filter, filter_spec=eqx.is_array)
    actor_updates, actor_optimizer = optimizer.update(params(gradients.actor), state.actor_optimizer)
    critic_updates, critic_optimizer = optimizer.update(params(gradients.critic), state.critic_optimizer)
    tau = algorithm.tau
    return DROLState(
        actor=eqx.apply_updates(state.actor, actor_updates),
        critic=eqx.apply_updates(state.critic, critic_updates),
        target_critic=jax.tree.map(lambda t, o: tau * o + (1 - tau) * t, state.target_critic, state.critic),
        actor_optimizer=actor_optimizer,
        critic_optimizer=critic_optimizer,
        step=state.step + 1,
    )
