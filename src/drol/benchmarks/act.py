"""Latency of a deployed policy, for one observation to a thousand per call."""

import dataclasses
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from drol.algorithms.drol import DROL
from drol.benchmarks.step import SPEC
from drol.policy import Policy, planning
from drol.policy.files import load_policy, save_policy
from drol.presets import SIZES

CALLS = 2_000
SECONDS = 2.0
WARM_UP = 20


def bench_act(sizes: Sequence[str], batches: Sequence[int], *, chunk: int = 1) -> Iterator[dict[str, Any]]:
    """Microseconds from NumPy observations to NumPy actions, one latent per plan.

    Args:
        sizes: names of `drol.presets.SIZES`.
        batches: numbers of observations per call.
        chunk: actions per plan; the network runs in one of so many calls.

    Yields:
        size, chunk, batch_size, device, calls; mean_us, p50_us and p99_us of the policy that `drol.load_policy`
        returns; plain_mean_us, plain_p50_us and plain_p99_us of `jax.jit` around the same policy, called with its
        weights and a key.
    """
    for size in sizes:
        algorithm = DROL(hidden=SIZES[size].hidden)
        state = algorithm.init(dataclasses.replace(SPEC, chunk=chunk), key=jax.random.key(0))
        with tempfile.TemporaryDirectory() as folder:
            save_policy(planning(algorithm.policy(state), chunk), folder)
            loaded = load_policy(folder)
        for batch in batches:
            observations = np.random.default_rng(0).normal(size=(batch, SPEC.observation_dim)).astype(np.float32)
            plain = functools.partial(_plain, loaded.policy)
            times = _latencies({"": loaded, "plain_": plain}, observations)
            device = jax.devices()[0].device_kind
            record: dict[str, Any] = {"size": size, "chunk": chunk, "batch_size": batch, "device": device}
            for name, latencies in times.items():
                record[f"{name}mean_us"] = statistics.mean(latencies)
                record[f"{name}p50_us"], record[f"{name}p99_us"] = np.percentile(latencies, [50, 99]).tolist()
            yield record | {"calls": len(times[""])}


def _plain(policy: Policy, observations: np.ndarray) -> np.ndarray:
    return np.asarray(_act(policy, observations, jax.random.key(0)))


@jax.jit
def _act(policy: Policy, observations: jax.Array, key: jax.Array) -> jax.Array:
    keys = jax.random.split(key, observations.shape[0])
    return jax.vmap(lambda observation, key: policy(observation, key=key))(observations, keys)


def _latencies(calls: dict[str, Callable[[Any], Any]], observations: np.ndarray) -> dict[str, list[float]]:
    """Microseconds of every call; the competitors take turns of a hundred calls."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call(observations)
    times: dict[str, list[float]] = {name: [] for name in calls}
    began = time.perf_counter()
    while len(times[""]) < CALLS and (time.perf_counter() - began < SECONDS or not times[""]):
        for name, call in calls.items():
            for _ in range(100):
                start = time.perf_counter()
                call(observations)
                times[name].append((time.perf_counter() - start) * 1e6)
    return times
