"""Time per update of the winner-only step, of eq. 8 taken literally, and of the arithmetic neither can avoid."""

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from drol.algorithms.drol import DROL
from drol.benchmarks.literal import literal_update
from drol.data.replay import ReplayData
from drol.ops.axis import global_rows
from drol.presets import SIZES
from drol.types import Spec

SPEC = Spec(observation_dim=28, action_dim=5)
BATCH = 256
TRANSITIONS = 20_000
SECONDS = 1.0
REPEATS = 5


def bench_step(sizes: Sequence[str], candidates: Sequence[int]) -> Iterator[dict[str, Any]]:
    """One record per size and routing budget, all measured in this process.

    Each time is that of one update inside a compiled loop, sampling and noise included: the median over repeats, with
    the fastest and the slowest. The matrix-product rate of the machine is measured before every record.

    Args:
        sizes: names of `drol.presets.SIZES`.
        candidates: routing budgets K.

    Yields:
        size, num_candidates, batch_size, step_ms, step_ms_range, literal_ms (eq. 8, critic and gradient on all K),
        literal_ms_range, winner_critic_ms (eq. 8, critic on winners only), winner_critic_ms_range, gflop (of one
        update, by hand), product_gflops (per second), floor_ms, share_of_floor, speedup and device.
    """
    data = random_data(jax.random.key(0))
    for size in sizes:
        for count in candidates:
            algorithm = DROL(num_candidates=count, hidden=SIZES[size].hidden)
            rate = product_rate()
            ours = timed(algorithm, data, algorithm.update)
            literal, winner_critic = (
                timed(algorithm, data, functools.partial(literal_update, algorithm, critic_on_all=on_all))
                for on_all in (True, False)
            )
            gflop = update_flop(algorithm, SPEC, BATCH) / 1e9
            floor = gflop / rate * 1e3
            yield {
                "size": size,
                "num_candidates": count,
                "batch_size": BATCH,
                "step_ms": ours[1],
                "step_ms_range": [ours[0], ours[2]],
                "literal_ms": literal[1],
                "literal_ms_range": [literal[0], literal[2]],
                "winner_critic_ms": winner_critic[1],
                "winner_critic_ms_range": [winner_critic[0], winner_critic[2]],
                "gflop": gflop,
                "product_gflops": rate,
                "floor_ms": floor,
                "share_of_floor": floor / ours[1],
                "speedup": literal[1] / ours[1],
                "device": jax.devices()[0].device_kind,
            }


def update_flop(algorithm: DROL, spec: Spec, batch: int) -> int:
    """Floating-point operations in the matrix products that one winner-only update cannot avoid.

    Elementwise work is left out. The observation's share of the first layer counts once per state in the candidates'
    pass; gradients with respect to inputs stop where nobody needs them.
    """
    o, d, hidden, ensemble = spec.observation_dim, spec.action_dim, algorithm.hidden, algorithm.ensemble

    def products(fan_in: int, fan_out: int) -> list[int]:
        widths = (fan_in, *hidden, fan_out)
        return [2 * m * n for m, n in itertools.pairwise(widths)]

    actor, critic = products(o + d, d), products(o + d, 1)
    count, backup = algorithm.num_candidates, algorithm.backup_candidates
    shared = 2 * o * hidden[0]

    def fan(samples: int) -> int:
        return shared + samples * (sum(actor) - shared)

    routing = fan(count) if count > 1 else 0
    # Forward, gradient of the weights, and gradient of the inputs in all layers but the first.
    winner = 3 * sum(actor) - actor[0]
    # Forward, and back to the action alone.
    guidance = ensemble * (2 * sum(critic) - critic[0] + 2 * d * hidden[0])
    targets = fan(backup) + backup * ensemble * sum(critic)
    learning = ensemble * (3 * sum(critic) - critic[0])
    return batch * (routing + winner + guidance + targets + learning)


def product_rate(size: int = 2048) -> float:
    """GFLOP per second of a large square matrix product, the best of several."""
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(matrix))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(product(matrix))
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times) / 1e9


def random_data(key: jax.Array) -> ReplayData:
    """Transitions of the benchmark's shape, of random numbers."""
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
    )


def timed(algorithm: DROL, data: ReplayData, update: Callable) -> tuple[float, float, float]:
    """Fastest, median and slowest milliseconds per update inside a compiled loop."""

    @functools.partial(jax.jit, static_argnames="length", donate_argnames="state")
    def loop(state, data, key, *, length: int):
        def body(state, _):
            sample_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
            batch = data.sample(BATCH, key=sample_key)
            noise = algorithm.noise(data.spec, global_rows(BATCH, None), key=noise_key)
            result = update(state, batch, noise)
            return (result if not isinstance(result, tuple) else result[0]), None

        return jax.lax.scan(body, state, length=length)[0]

    key = jax.random.key(1)
    state = jax.jit(lambda key: algorithm.init(data.spec, key=key))(key)
    state = jax.block_until_ready(loop(state, data, key, length=2))
    began = time.perf_counter()
    state = jax.block_until_ready(loop(state, data, key, length=2))
    length = max(2, min(200, round(SECONDS / (time.perf_counter() - began) * 2)))
    state = jax.block_until_ready(loop(state, data, key, length=length))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        state = jax.block_until_ready(loop(state, data, key, length=length))
        times.append((time.perf_counter() - began) / length * 1e3)
    return min(times), statistics.median(times), max(times)
