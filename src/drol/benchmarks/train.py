"""A whole run: what training costs besides its updates."""

import contextlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax

from drol.algorithms.drol import DROL
from drol.benchmarks.step import BATCH, SPEC, megabytes, random_data
from drol.environments.results import as_record
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.policy import Policy
from drol.presets import SIZES
from drol.training.folder import RunFolder
from drol.training.keeper import Run
from drol.training.run import train_runs
from drol.training.settings import Settings, call_length

ENVIRONMENT = EnvironmentSpec("ogbench:cube-single-singletask-task2-v0")
"""It has the dimensions of the random data, observation 28 and action 5; an untrained policy uses all 200 steps."""


def bench_train(size: str, *, updates: int, episodes: int = 0, workers: int = 1) -> dict[str, Any]:
    """Train DROL(16) on random data in a temporary folder: updates, records, checkpoints, evaluations.

    Args:
        size: one of `drol.presets.SIZES`.
        updates: of the whole run; evaluated and checkpointed after each half.
        episodes: per evaluation, in OGBench's cube-single; 0 for none.
        workers: simulation processes.

    Returns:
        size, updates, device; total_s; updates_per_second (median over chunks, sampling and noise included);
        update_s (all chunks but the first), first_chunk_s (with compilation), evaluation_s, other_s (records,
        checkpoints, policy files, first state); data_mb and state_mb (10^6 bytes), live_mb (the most device memory held
        by arrays at the end of a chunk), host_mb (peak resident memory of this process, since its start).
    """
    data = random_data(jax.random.key(0))
    algorithm = DROL(hidden=SIZES[size].hidden)
    every = updates // 2
    settings = Settings(
        updates=updates, batch_size=BATCH, eval_every=every, updates_per_call=call_length(updates, every)
    )
    watch = _Watch()
    with tempfile.TemporaryDirectory() as path, contextlib.ExitStack() as stack:
        folder = RunFolder(path)
        evaluator = stack.enter_context(Evaluator(ENVIRONMENT, workers=workers)) if episodes else None

        def evaluate(policy: Policy, update: int) -> list[dict[str, Any]]:
            assert evaluator is not None
            began = time.perf_counter()
            results = evaluator.run(policy, episodes=episodes, seed=update)
            watch.evaluation += time.perf_counter() - began
            return [as_record(result) for result in results]

        began = time.perf_counter()
        run = Run(algorithm, folder, settings, evaluate=evaluate if episodes else None, sinks=[watch])
        (outcome,) = train_runs([run], data)
        total = time.perf_counter() - began
    chunks = [settings.updates_per_call / rate for rate in watch.rates]
    return {
        "size": size,
        "observation_dim": SPEC.observation_dim,
        "action_dim": SPEC.action_dim,
        "updates": updates,
        "device": jax.devices()[0].device_kind,
        "total_s": total,
        "updates_per_second": statistics.median(watch.rates[1:]),
        "update_s": sum(chunks[1:]),
        "first_chunk_s": chunks[0],
        "evaluation_s": watch.evaluation,
        "other_s": total - sum(chunks) - watch.evaluation,
        "data_mb": megabytes(data),
        "state_mb": megabytes(outcome.state),
        "live_mb": watch.live / 1e6,
        "host_mb": peak_host_memory() / 1e6,
    }


class _Watch:
    """A sink that notes speed and device memory after every chunk."""

    def __init__(self):
        self.rates: list[float] = []
        self.live = 0
        self.evaluation = 0.0

    def write(self, update: int, metrics: Mapping[str, float]) -> None:
        self.rates.append(metrics["updates_per_second"])
        self.live = max(self.live, sum(array.nbytes for array in jax.live_arrays()))

    def close(self) -> None:
        pass


def peak_host_memory() -> int:
    """The peak resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
