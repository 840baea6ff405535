"""Sampling and updates fused into compiled chunks."""

import functools
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from drol.algorithm import Algorithm, TrainState, step
from drol.data.growing import GrowingData
from drol.data.replay import ReplayData, draw_numbers
from drol.numerics import threefry
from drol.types import Key, Metrics

State = TypeVar("State", bound=TrainState)


@functools.partial(jax.jit, static_argnames=("batch_size", "length"), donate_argnames="state")
def train_chunk(
    algorithm: Algorithm, state: State, data: ReplayData | GrowingData, key: Key, *, batch_size: int, length: int
) -> tuple[State, Metrics, Bool[Array, ""]]:
    """Run `length` updates in one compiled call; the state's buffers are donated.

    Update number n draws its batch and its noise from `fold_in(key, n)`, so a resumed run draws what an uninterrupted
    one would have drawn.

    Returns:
        The state, the mean of each metric over the chunk, and whether the state is free of NaN and infinity.
    """

    def body(state: State, _) -> tuple[State, Metrics]:
        return _sampled_step(algorithm, state, data, key, batch_size)

    state, history = jax.lax.scan(body, state, length=length)
    return state, jax.tree.map(jnp.mean, history), all_finite(state)


@functools.partial(jax.jit, static_argnames=("batch_size", "length"))
def last_finite(
    algorithm: Algorithm, state: State, data: ReplayData | GrowingData, key: Key, *, batch_size: int, length: int
) -> tuple[State, Metrics]:
    """Rerun a chunk that went wrong, up to the first update whose loss or result is not finite.

    Returns:
        The state before that update, and the metrics of that update; if all are finite, the state after the last one
        and its metrics.
    """
    end = state.step + length

    def attempt(carry: tuple[State, Metrics, Bool[Array, ""]]) -> tuple[State, Metrics, Bool[Array, ""]]:
        state, *_ = carry
        new, metrics = _sampled_step(algorithm, state, data, key, batch_size)
        losses = {name: value for name, value in metrics.items() if name.endswith("loss")}
        good = all_finite(new) & all_finite(losses)
        return jax.tree.map(lambda after, before: jnp.where(good, after, before), new, state), metrics, good

    def going(carry: tuple[State, Metrics, Bool[Array, ""]]) -> Bool[Array, ""]:
        state, _, good = carry
        return good & (state.step < end)

    state, metrics, _ = jax.lax.while_loop(going, attempt, attempt((state, {}, jnp.array(True))))
    return state, metrics


@functools.partial(jax.jit, static_argnames="batch_size")
def finite_transitions(
    data: ReplayData | GrowingData, key: Key, update: Int[Array, ""], *, batch_size: int
) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """The transitions that an update draws, and which of them are free of NaN and infinity."""
    sample_key, _ = draw_keys(key, update)
    numbers = data.draw(batch_size, key=sample_key)
    fields = [jnp.reshape(field, (batch_size, -1)) for field in jax.tree.leaves(data.take(numbers))]
    return data.everywhere((numbers, jnp.all(jnp.isfinite(jnp.concatenate(fields, axis=1)), axis=1)))


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether all arrays of floats are free of NaN and infinity."""
    numbers = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers]))


@functools.partial(jax.jit, static_argnames=("size", "batch_size", "length"))
def chunk_numbers(
    key: Key, update: Int[Array, ""], *, size: int, batch_size: int, length: int
) -> Int[Array, "length batch"]:
    """The transitions, out of `size`, that `length` updates starting at `update` draw."""
    sample_keys, _ = jax.vmap(draw_keys, in_axes=(None, 0))(key, update + jnp.arange(length))
    return jax.vmap(lambda sample_key: draw_numbers(size, batch_size, key=sample_key))(sample_keys)


def draw_keys(key: Key, update: Int[Array, ""] | int) -> tuple[Key, Key]:
    """The keys of an update's batch and of its noise."""
    sample_key, noise_key = jax.random.split(jax.random.fold_in(threefry(key), update))
    return sample_key, noise_key


def _sampled_step(
    algorithm: Algorithm, state: State, data: ReplayData | GrowingData, key: Key, batch_size: int
) -> tuple[State, Metrics]:
    sample_key, noise_key = draw_keys(key, state.step)
    return data.everywhere(step(algorithm, state, data.sample(batch_size, key=sample_key), key=noise_key))


@functools.partial(jax.jit, static_argnames=("batch_size", "batches"))
def held_out_metrics(
    algorithm: Algorithm, state: TrainState, data: ReplayData | GrowingData, key: Key, *, batch_size: int, batches: int
) -> Metrics:
    """The metrics of `step` on validation data, averaged over batches; no parameter changes.

    Metrics are those before an update; the update itself is unused and compiled away. `step` is set to -1, so that
    `(step + 1) % period == 0` for every period and delayed parts are included.
    """
    state = eqx.tree_at(lambda s: s.step, state, jnp.full_like(state.step, -1))

    def body(_, number):
        sample_key, noise_key = draw_keys(key, number)
        batch = data.sample(batch_size, key=sample_key)
        return None, step(algorithm, state, batch, key=noise_key)[1]

    return jax.tree.map(jnp.mean, jax.lax.scan(body, None, jnp.arange(batches))[1])
