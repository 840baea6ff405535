"""All methods side by side: milliseconds per update and per action, and the operations behind them."""

import dataclasses
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from drol.algorithm import Algorithm
from drol.algorithms.registry import algorithm_class
from drol.benchmarks import timing
from drol.benchmarks.arithmetic import compiled_flop, update_flop
from drol.benchmarks.step import BATCH, SPEC, Loop, random_data
from drol.policy import planning
from drol.policy.files import load_policy, save_policy
from drol.policy.loaded import LoadedPolicy
from drol.presets import SIZES

CALLS = 200
"""Actions that a policy chooses per turn."""


class Competitor(NamedTuple):
    """What is measured.

    Attributes:
        algorithm: its name, as in `drol.algorithms.registry.ALGORITHMS`.
        hyperparameters: those that are not to have their defaults.
        chunk, n_step, replan: see `drol.RunConfig`.
    """

    algorithm: str
    hyperparameters: Mapping[str, Any] = {}
    chunk: int = 1
    n_step: int | None = None
    replan: int | None = None

    def build(self, hidden: tuple[int, ...]) -> Algorithm:
        """The algorithm, with networks of these hidden widths."""
        cls: Any = algorithm_class(self.algorithm)
        return cls(hidden=hidden, **self.hyperparameters)


def bench_peers(
    size: str, competitors: Mapping[str, Competitor], *, hidden: tuple[int, ...] | None = None
) -> Iterator[dict[str, Any]]:
    """One record per competitor, all measured in this process, taking turns.

    Args:
        size: one of `drol.presets.SIZES`.
        competitors: by the name that their record has.
        hidden: hidden widths in place of the size's.

    Yields:
        size, algorithm (the competitor's name), batch_size, device; step_ms (one update inside a compiled loop,
        sampling and noise included: the median over rounds, with its range) and updates_per_second; act_ms (from one
        NumPy observation to its NumPy action: the median over calls of the policy that `drol.load_policy` returns, or
        over the means of its plans); gflop (matrix products of one update, by hand), compiled_gflop (all its
        operations, by the compiler) and ratio (compiled_gflop / gflop).

    Raises:
        ValueError: for an unknown algorithm.
    """
    built = {name: given.build(hidden or SIZES[size].hidden) for name, given in competitors.items()}
    data = {name: random_data(jax.random.key(0), given.chunk, given.n_step) for name, given in competitors.items()}
    loops = {name: Loop(algorithm, data[name], algorithm.update) for name, algorithm in built.items()}
    times = timing.take_turns({name: loop.run for name, loop in loops.items()})
    actions = _act_ms({name: _deployed(built[name], given) for name, given in competitors.items()})
    for name, algorithm in built.items():
        measured = timing.Timing.of(times[name], 1 / loops[name].length)
        gflop = update_flop(algorithm, data[name].spec, BATCH) / 1e9
        compiled = compiled_flop(algorithm, data[name].spec, BATCH) / 1e9
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


def _deployed(algorithm: Algorithm, given: Competitor) -> LoadedPolicy:
    """The policy of a fresh state, saved and loaded again."""
    spec = dataclasses.replace(SPEC, chunk=given.chunk).flat
    state = jax.jit(lambda key: algorithm.init(spec, key=key))(jax.random.key(0))
    with tempfile.TemporaryDirectory() as folder:
        save_policy(planning(algorithm.policy(state), given.chunk), folder)
        return load_policy(folder, replan=given.replan)


def _act_ms(policies: Mapping[str, LoadedPolicy]) -> dict[str, float]:
    observation = np.random.default_rng(0).normal(size=SPEC.observation_dim).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in policies}
    for policy in policies.values():
        # Compiles the forward pass and the draws.
        policy(observation)
    for _ in range(timing.ROUNDS):
        for name, policy in policies.items():
            seconds[name] += [_seconds_per_action(policy, observation) for _ in range(CALLS)]
    return {name: statistics.median(found) * 1e3 for name, found in seconds.items()}


def _seconds_per_action(policy: LoadedPolicy, observation: np.ndarray) -> float:
    """Over one plan, whose first action takes the network and whose others come from the queue."""
    actions = policy.policy.executed
    return timing.seconds_of(lambda: [policy(observation) for _ in range(actions)][-1]) / actions
