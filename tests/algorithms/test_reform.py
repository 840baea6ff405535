"""ReFORM's losses against straight NumPy, and its gradient through reflected steps against differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from drol.algorithms.reform import ReFORM
from tests.helpers.batches import SPEC
from tests.helpers.plain_algorithms import (
    assert_slopes,
    close,
    measure,
    plain_flow,
    plain_matching,
    prepared,
    reflected_in_numpy,
    update,
)
from tests.helpers.plain_networks import plain_critic, plain_mlp

BALL = np.sqrt(SPEC.action_dim)


def prepared_in_the_ball(algorithm):
    """Latents within the ball, velocities that lead out of it, actions beyond the bounds."""
    state, batch, noise = prepared(algorithm)
    inward = lambda z: z / np.maximum(1, np.linalg.norm(z, axis=-1, keepdims=True) / (0.9 * BALL))  # noqa: E731
    latents = lambda n: (n.next_latent, n.flow_x0, n.taught_latent, n.latent)  # noqa: E731
    noise = eqx.tree_at(latents, noise, tuple(map(inward, latents(noise))))
    louder = jax.tree.map(lambda leaf: 2 * leaf, state.networks.actor)
    return eqx.tree_at(lambda s: s.networks.actor, state, louder), batch, noise


def steered_actions(networks, observations, latents, steps):
    latents = reflected_in_numpy(networks.generator, observations, latents, steps)
    return np.clip(plain_mlp(networks.actor.mlp, observations, latents), -1, 1)


def test_the_losses_by_a_straight_computation():
    with jax.enable_x64(True):
        algorithm = ReFORM(hidden=(8,), flow_steps=4, q_coef=0.7, discount=0.9, q_agg="min", normalize_q=True)
        state, batch, noise = prepared_in_the_ball(algorithm)
        metrics = measure(algorithm, state, batch, noise)
    networks = state.networks
    taught = plain_flow(networks.flow, batch.observations, noise.taught_latent, 4)
    student = plain_mlp(networks.actor.mlp, batch.observations, noise.taught_latent)
    assert 0 < (np.abs(student) > 1).mean() < 1, "the student is taught before its clip"
    distillation_loss = np.mean((student - taught) ** 2)
    close(metrics["distillation_loss"], distillation_loss)
    flow_loss = plain_matching(networks.flow, batch, noise).mean()
    close(metrics["flow_loss"], flow_loss)
    actions = steered_actions(networks, batch.observations, noise.latent, 4)
    q = plain_critic(networks.critic, batch.observations, actions).mean(axis=0)
    q_loss = -q.mean() / np.abs(q).mean()
    close(metrics["q_loss"], q_loss)
    close(metrics["actor_loss"], flow_loss + distillation_loss + 0.7 * q_loss)

    next_actions = steered_actions(networks, batch.next_observations, noise.next_latent, 4)
    next_q = plain_critic(state.target_critic, batch.next_observations, next_actions).min(axis=0)
    errors = plain_critic(networks.critic, batch.observations, batch.actions) - (
        batch.rewards + 0.9 * batch.masks * next_q
    )
    close(metrics["critic_loss"], np.mean(errors**2))


def test_the_critic_moves_the_latents_through_every_reflected_step():
    """In float64: central differences, where some steps are reflected and some actions clipped."""
    with jax.enable_x64(True):
        algorithm = ReFORM(hidden=(8,), flow_steps=5, q_coef=0.5)
        state, batch, noise = prepared_in_the_ball(algorithm)
        networks = state.networks

        def loss(generator):
            there = eqx.tree_at(lambda n: n.generator, networks, generator)
            actions = steered_actions(there, batch.observations, noise.latent, 5)
            return -0.5 * plain_critic(networks.critic, batch.observations, actions).mean()

        actions = steered_actions(networks, batch.observations, noise.latent, 5)
        assert 0 < (np.abs(actions) == 1).mean() < 1
        gradient = jax.jit(lambda *a: algorithm.gradients(*a)[0].generator)(state, batch, noise)
        assert_slopes(loss, networks.generator, gradient)


def test_gradients_are_scaled_down_to_the_norm_of_the_clip():
    """Of all networks together: Adam's first moment after one update is a tenth of the clipped gradient."""
    algorithm = ReFORM(hidden=(8,), flow_steps=2, max_gradient_norm=0.5)
    state, batch, noise = prepared_in_the_ball(algorithm)
    gradient = jax.jit(lambda *a: algorithm.gradients(*a)[0])(state, batch, noise)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(gradient)))
    assert norm > 1
    moments = jax.tree.leaves(update(algorithm, state, batch, noise)[0].optimizer[1][0].mu)
    for moment, leaf in zip(moments, jax.tree.leaves(gradient), strict=True):
        close(moment, 0.1 * 0.5 / norm * leaf)


def test_draws_are_uniform_in_the_ball_and_each_of_its_own():
    noise = jax.jit(lambda key: ReFORM().noise(SPEC, jnp.arange(2000), key=key))(jax.random.key(0))
    latents = [noise.next_latent, noise.flow_x0, noise.taught_latent, noise.latent]
    for z in latents:
        volumes = (np.linalg.norm(z, axis=-1) / BALL) ** SPEC.action_dim
        assert scipy.stats.kstest(volumes, "uniform").pvalue > 1e-6
    for parts in (np.concatenate(latents, axis=-1).T, [np.linalg.norm(z, axis=-1) for z in latents]):
        assert np.abs(np.corrcoef(parts) - np.eye(len(parts))).max() < 0.1
