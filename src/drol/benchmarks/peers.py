"""All methods side by side: milliseconds per update and per action, and the operations behind them."""

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from drol.algorithm import Algorithm
from drol.algorithms.registry import algorithm_class
from drol.benchmarks import timing
from drol.benchmarks.arithmetic import compiled_flop, update_flop
from drol.benchmarks.step import BATCH, SPEC, Loop, random_data
from drol.policy.files import load_policy, save_policy
from drol.policy.loaded import LoadedPolicy
from drol.presets import SIZES

CALLS = 200
"""Actions that a policy chooses per turn."""


def bench_peers(
    size: str, algorithms: Sequence[str], *, hidden: tuple[int, ...] | None = None
) -> Iterator[dict[str, Any]]:
    """One record per algorithm, all measured in this process, taking turns, with default hyperparameters.

    Args:
        size: one of `drol.presets.SIZES`.
        algorithms: names of `drol.algorithms.registry.ALGORITHMS`.
        hidden: hidden widths in place of the size's.

    Yields:
        size, algorithm, batch_size, device; step_ms (one update inside a compiled loop, sampling and noise included:
        the median over rounds, with its range) and updates_per_second; act_ms (from one NumPy observation to its NumPy
        action, the median over calls of the policy that `drol.load_policy` returns); gflop (matrix products of one
        update, by hand), compiled_gflop (all its operations, by the compiler) and ratio (compiled_gflop / gflop).

    Raises:
        ValueError: for an unknown algorithm.
    """
    built = {name: _built(name, hidden or SIZES[size].hidden) for name in algorithms}
    data = random_data(jax.random.key(0))
    loops = {name: Loop(algorithm, data, algorithm.update) for name, algorithm in built.items()}
    times = timing.take_turns({name: loop.run for name, loop in loops.items()})
    actions = _act_ms({name: _deployed(algorithm) for name, algorithm in built.items()})
    for name, algorithm in built.items():
        measured = timing.Timing.of(times[name], 1 / loops[name].length)
        gflop = update_flop(algorithm, SPEC, BATCH) / 1e9
        compiled = compiled_flop(algorithm, SPEC, BATCH) / 1e9
        yield {
            "size": size,
            "algorithm": name,
            "batch_size": BATCH,
            "device": jax.devices()[0].device_kind,
            **measured.as_record("step"),
            "updates_per_second": 1e3 / measured.median,
            "act_ms": actions[name],
            "gflop": gflop,
            "compiled_gflop": compiled,
            "ratio": compiled / gflop,
        }


def _built(name: str, hidden: tuple[int, ...]) -> Algorithm:
    cls: Any = algorithm_class(name)
    return cls(hidden=hidden)


def _deployed(algorithm: Algorithm) -> LoadedPolicy:
    """The policy of a fresh state, saved and loaded again."""
    state = jax.jit(lambda key: algorithm.init(SPEC, key=key))(jax.random.key(0))
    with tempfile.TemporaryDirectory() as folder:
        save_policy(algorithm.policy(state), folder)
        return load_policy(folder)


def _act_ms(policies: Mapping[str, LoadedPolicy]) -> dict[str, float]:
    observation = np.random.default_rng(0).normal(size=SPEC.observation_dim).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in policies}
    for policy in policies.values():
        # Compiles the forward pass and the draws.
        policy(observation)
    for _ in range(timing.ROUNDS):
        for name, policy in policies.items():
            seconds[name] += [timing.seconds_of(lambda policy=policy: policy(observation)) for _ in range(CALLS)]
    return {name: statistics.median(found) * 1e3 for name, found in seconds.items()}
