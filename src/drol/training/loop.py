"""Sampling and updates fused into compiled chunks."""

import functools
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from drol.algorithm import Algorithm, TrainState, step
from drol.data.replay import ReplayData
from drol.types import Key, Metrics

State = TypeVar("State", bound=TrainState)


@functools.partial(jax.jit, static_argnames=("batch_size", "length"), donate_argnames="state")
def train_chunk(
    algorithm: Algorithm, state: State, data: ReplayData, key: Key, *, batch_size: int, length: int
) -> tuple[State, Metrics, Bool[Array, ""]]:
    """Run `length` updates in one compiled call; the state's buffers are donated.

    Update number n draws its batch and its noise from `fold_in(key, n)`, so a resumed run draws what an undisturbed
    one would have drawn.

    Returns:
        The state, the mean of each metric over the chunk, and whether the state is free of NaN and infinity.
    """

    def body(state: State, _) -> tuple[State, Metrics]:
        sample_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
        batch = data.sample(batch_size, key=sample_key)
        return step(algorithm, state, batch, key=noise_key)

    state, history = jax.lax.scan(body, state, length=length)
    numbers = jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array))
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers]))
    return state, jax.tree.map(jnp.mean, history), finite


@functools.partial(jax.jit, static_argnames=("batch_size", "batches"))
def held_out_metrics(
    algorithm: Algorithm, state: TrainState, data: ReplayData, key: Key, *, batch_size: int, batches: int
) -> Metrics:
    """The metrics of `step` on validation data, averaged over batches; nothing is learned from it.

    Metrics are taken before an update, and the update itself, unused, is compiled away.
    """

    def body(_, number):
        sample_key, noise_key = jax.random.split(jax.random.fold_in(key, number))
        batch = data.sample(batch_size, key=sample_key)
        return None, step(algorithm, state, batch, key=noise_key)[1]

    return jax.tree.map(jnp.mean, jax.lax.scan(body, None, jnp.arange(batches))[1])
