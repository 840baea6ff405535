"""Time per update of the winner-only step, of eq. 8 taken literally, and of the arithmetic neither can avoid."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from drol.algorithm import Algorithm, TrainState, flattened
from drol.algorithms.drol import DROL
from drol.benchmarks import timing
from drol.benchmarks.arithmetic import compiled_flop, update_flop
from drol.benchmarks.literal import literal_update
from drol.data.replay import ReplayData
from drol.ops.axis import global_rows
from drol.presets import SIZES
from drol.types import Chunking, Spec

SPEC = Spec(observation_dim=28, action_dim=5)
BATCH = 256
TRANSITIONS = 20_000


def bench_step(
    sizes: Sequence[str],
    candidates: Sequence[int],
    *,
    seeds: int = 1,
    precision: str | None = None,
    literal: bool = True,
    chunk: int = 1,
    ensemble: int = 2,
) -> Iterator[dict[str, Any]]:
    """One record per size and routing budget, all measured in this process.

    Times are per update inside a compiled loop, sampling and noise included; the competitors and the large matrix
    product that sets the floor take turns, and medians over the rounds are reported.

    Args:
        sizes: names of `drol.presets.SIZES`.
        candidates: routing budgets K.
        seeds: the number of independent seeds in one program; times are then per update of all of them.
        precision: of matrix products, as `jax.default_matmul_precision` takes it.
        literal: also measure eq. 8 taken literally; ignored for several seeds, chunks and more than two critics.
        chunk: actions per plan.
        ensemble: the number of critics.

    Yields:
        size, num_candidates, chunk, ensemble, batch_size, seeds, precision, device; step_ms; draws_ms (sampling and
        noise alone, in a separate loop); with `literal`, literal_ms (eq. 8, critic and gradient on all K),
        winner_critic_ms (eq. 8, critic on winners only) and speedup (literal_ms / step_ms); gflop (matrix products of
        one update, by hand), compiled_gflop (all operations, by the compiler, in one update outside any loop),
        product_gflops (per second), floor_ms, share_of_floor; data_mb, networks_mb, optimizer_mb, temporary_mb (the
        compiled loop's own allocation). Every time has its range as `..._range`.
    """
    with jax.default_matmul_precision(precision):
        data = random_data(jax.random.key(0), chunk)
        literal = literal and seeds == 1 and chunk == 1 and ensemble == 2
        for size in sizes:
            for count in candidates:
                algorithm = DROL(num_candidates=count, hidden=SIZES[size].hidden, ensemble=ensemble)
                yield {
                    "size": size,
                    "num_candidates": count,
                    "chunk": chunk,
                    "ensemble": ensemble,
                    "batch_size": BATCH,
                    "seeds": seeds,
                    "precision": precision or "default",
                    "device": jax.devices()[0].device_kind,
                } | _measured(algorithm, data, seeds, literal)


def _measured(algorithm: DROL, data: ReplayData, seeds: int, literal: bool) -> dict[str, Any]:
    loops = {"step": Loop(algorithm, data, algorithm.update, seeds), "draws": Loop(algorithm, data, None, seeds)}
    if literal:
        for name, on_all in (("literal", True), ("winner_critic", False)):
            update = functools.partial(literal_update, algorithm, critic_on_all=on_all)
            loops[name] = Loop(algorithm, data, update, seeds)
    product, product_flop = timing.product()
    times = timing.take_turns({"product": product} | {name: loop.run for name, loop in loops.items()})
    rate = product_flop / statistics.median(times["product"]) / 1e9
    measured = {name: timing.Timing.of(times[name], 1 / loop.length) for name, loop in loops.items()}
    gflop = seeds * update_flop(algorithm, data.spec, BATCH) / 1e9
    floor = gflop / rate * 1e3
    record: dict[str, Any] = {}
    for name, result in measured.items():
        record |= result.as_record(name)
    if literal:
        record["speedup"] = measured["literal"].median / measured["step"].median
    return record | {
        "gflop": gflop,
        "compiled_gflop": seeds * compiled_flop(algorithm, data.spec, BATCH) / 1e9,
        "product_gflops": rate,
        "floor_ms": floor,
        "share_of_floor": floor / measured["step"].median,
        **loops["step"].memory(),
    }


class Loop:
    """Updates in a compiled loop like that of `train_chunk`; each run continues from the state of the last.

    Args:
        algorithm: draws noise, and makes the initial state.
        data: to sample from.
        update: (state, batch, noise) -> state, or (state, metrics); None to only draw batch and noise.
        seeds: independent states in one program.
    """

    def __init__(self, algorithm: Algorithm, data: ReplayData, update: Callable | None, seeds: int = 1):
        def one_update(state, data, key):
            sample_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
            batch = flattened(algorithm, data.sample(BATCH, key=sample_key))
            noise = algorithm.noise(data.spec.flat, global_rows(BATCH, None), key=noise_key)
            if update is None:
                # Summed, so that the compiler cannot remove any of it.
                total = jax.tree.reduce(jnp.add, jax.tree.map(jnp.sum, (batch, noise)))
                return eqx.tree_at(lambda s: s.step, state, state.step + 1 + (total == 0.5).astype(jnp.int32))
            result = update(state, batch, noise)
            return result[0] if isinstance(result, tuple) else result

        @functools.partial(jax.jit, donate_argnames="state")
        def loop(state, data, keys, length):
            joint = one_update if seeds == 1 else jax.vmap(one_update, in_axes=(0, None, 0))
            return jax.lax.fori_loop(0, length, lambda _, state: joint(state, data, keys), state)

        keys = jax.random.split(jax.random.key(1), seeds)
        init = jax.jit(jax.vmap(lambda key: algorithm.init(data.spec.flat, key=key)))
        self._state = init(keys)
        if seeds == 1:
            self._state, keys = jax.tree.map(lambda x: x[0], self._state), keys[0]
        self._data, self._keys, self.length = data, keys, 1
        # Compiled ahead of time and for any length, so that `memory` describes the program that runs.
        self._loop = loop.lower(self._state, data, keys, self.length).compile()
        timing.seconds_of(self.run)
        self.length = max(1, min(2_000, round(timing.SECONDS / timing.seconds_of(self.run))))
        timing.seconds_of(self.run)

    def run(self) -> jax.Array:
        """`length` more updates."""
        self._state = self._loop(self._state, self._data, self._keys, self.length)
        return self._state.step

    def memory(self) -> dict[str, float]:
        """Megabytes (10^6 bytes) on the device: what is live between calls, and the loop's own allocation."""
        networks, optimizers = networks_and_optimizers(self._state)
        temporary = self._loop.memory_analysis()
        return {
            "data_mb": megabytes(self._data),
            "networks_mb": megabytes(networks),
            "optimizer_mb": megabytes(optimizers),
            "temporary_mb": temporary.temp_size_in_bytes / 1e6 if temporary is not None else float("nan"),
        }


def networks_and_optimizers(state: TrainState) -> tuple[list[Any], list[Any]]:
    """The fields of a state that hold its networks, including slow ones, and those that hold its optimizers."""
    names = [field.name for field in dataclasses.fields(state) if field.name != "step"]
    optimizers = [name for name in names if name.endswith("optimizer")]
    networks = [name for name in names if name not in optimizers]
    return [getattr(state, name) for name in networks], [getattr(state, name) for name in optimizers]


def megabytes(tree: PyTree) -> float:
    """The size of the arrays of a tree, in 10^6 bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) / 1e6


def random_data(key: jax.Array, chunk: int = 1, n_step: int | None = None) -> ReplayData:
    """Random transitions of the benchmark's shape: one long episode, drawn in chunks."""
    keys = jax.random.split(key, 3)
    rows = jnp.arange(TRANSITIONS)
    return ReplayData(
        observations=jax.random.normal(keys[0], (TRANSITIONS + 1, SPEC.observation_dim)),
        actions=jax.random.uniform(keys[1], (TRANSITIONS, SPEC.action_dim), minval=-1.0),
        rewards=jax.random.normal(keys[2], (TRANSITIONS,)),
        masks=jnp.ones(TRANSITIONS),
        index=rows,
        next_index=rows + 1,
        next_action_index=jnp.minimum(rows + 1, TRANSITIONS - 1),
        chunking=Chunking(chunk, n_step),
    )
