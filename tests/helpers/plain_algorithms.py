"""The losses of the peers in straight NumPy, and states of random numbers to compute them on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.helpers.batches import SPEC, random_batch
from tests.helpers.plain_networks import plain_mlp

ROWS = 8
MOMENTUM = optax.sgd(1e-2, momentum=0.9)
update = jax.jit(lambda algorithm, state, batch, noise: algorithm.update(state, batch, noise))
# Without the gradients, of which nothing is then compiled.
measure = jax.jit(lambda algorithm, state, batch, noise: algorithm.update(state, batch, noise)[1])


def prepared(algorithm):
    """A state of random numbers (slow copies of their own, some actions beyond the bounds), a batch, and noise.

    Made in NumPy, where nothing is compiled.
    """
    rng = np.random.default_rng(0)
    empty, noise = jax.eval_shape(
        lambda key: (algorithm.init(SPEC, key=key), algorithm.noise(SPEC, jnp.arange(ROWS), key=key)), jax.random.key(0)
    )

    def normal(like):
        return rng.normal(size=like.shape).astype(like.dtype)

    def networks(state):
        return [getattr(state, name) for name in ("networks", "target_actor", "target_critic") if hasattr(state, name)]

    state = jax.tree.map(lambda like: np.zeros(like.shape, like.dtype), empty)
    state = eqx.tree_at(networks, state, jax.tree.map(lambda like: 0.5 * normal(like), networks(empty)))
    noise = jax.tree.map(normal, noise)
    if hasattr(noise, "flow_t"):
        noise = eqx.tree_at(lambda n: n.flow_t, noise, np.abs(noise.flow_t) % 1)
    shapes = jax.eval_shape(lambda key: random_batch(key, ROWS), jax.random.key(0))
    batch = jax.tree.map(lambda like: rng.uniform(-1, 1, like.shape).astype(jnp.result_type(float)), shapes)
    return state, eqx.tree_at(lambda b: b.masks, batch, replace_fn=lambda m: (m > -0.5).astype(m.dtype)), noise


def plain_flow(field, observations, latents, steps, *conditions):
    """Euler's method from time 0, clipped at the end."""
    x = np.asarray(latents)
    columns = [np.full((len(x), 1), c) for c in conditions]
    for step in range(steps):
        x = x + plain_mlp(field.mlp, observations, x, np.full((len(x), 1), step / steps), *columns) / steps
    return np.clip(x, -1, 1)


def reflected_in_numpy(field, observations, latents, steps):
    """Euler's method in the ball of radius sqrt(d); a step that leaves it loses its part along y / |y|.

    Some steps must leave it, and some not.
    """
    z, (rows, dim), reflected = np.asarray(latents, np.float64), np.shape(latents), []
    for step in range(steps):
        move = plain_mlp(field.mlp, observations, z, np.full((rows, 1), step / steps)) / steps
        outside = z + move
        length = np.linalg.norm(outside, axis=-1, keepdims=True)
        outward = outside / length
        along = (move * outward).sum(axis=-1, keepdims=True)
        reflected.append(length > np.sqrt(dim))
        z = np.where(reflected[-1], outside - along * outward, outside)
    assert 0 < np.mean(reflected) < 1
    return z


def plain_matching(field, batch, noise):
    """|v(x_t, t) - (a - x_0)|^2 / d per row."""
    start, times = np.asarray(noise.flow_x0), np.asarray(noise.flow_t)
    predicted = plain_mlp(field.mlp, batch.observations, (1 - times) * start + times * batch.actions, times)
    return np.mean((predicted - (batch.actions - start)) ** 2, axis=-1)


def close(ours, theirs, rtol=1e-4):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=rtol, atol=1e-5)


def equal(ours, theirs):
    return all(bool((a == b).all()) for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))


def moved_along(network, direction, step):
    return jax.tree.map(lambda leaf, d: np.asarray(leaf, np.float64) + step * d, network, direction)


def assert_slopes(loss, network, gradient, directions=4, step=1e-6):
    """`gradient` is that of `loss`, a function in NumPy's float64: central differences along random directions."""
    rng = np.random.default_rng(0)
    for _ in range(directions):
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), network)
        ahead, behind = (loss(moved_along(network, direction, sign * step)) for sign in (1, -1))
        slope = sum(np.sum(g * d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-7)
