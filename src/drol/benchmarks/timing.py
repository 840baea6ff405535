"""Timing on shared machines: competitors take turns within each round, and medians are compared."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

ROUNDS = 7
SECONDS = 2.0
"""Approximate length of one competitor's turn: long enough that the overhead of a call (allocating and freeing memory,
tens of milliseconds for large activations) is negligible, as it is in a run."""


class Timing(NamedTuple):
    """Milliseconds: the median over rounds, and the range."""

    median: float
    fastest: float
    slowest: float

    @classmethod
    def of(cls, seconds: list[float], scale: float = 1.0) -> "Timing":
        """From measured seconds, each multiplied by `scale`."""
        ms = [second * scale * 1e3 for second in seconds]
        return cls(statistics.median(ms), min(ms), max(ms))

    def as_record(self, name: str) -> dict[str, Any]:
        """`{name}_ms` and `{name}_ms_range`."""
        return {f"{name}_ms": self.median, f"{name}_ms_range": [self.fastest, self.slowest]}


def seconds_of(program: Callable[[], Any]) -> float:
    """Run once, waiting for the result."""
    began = time.perf_counter()
    jax.block_until_ready(program())
    return time.perf_counter() - began


def take_turns(programs: Mapping[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Seconds of every program in every round: a slow moment of the machine affects all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            times[name].append(seconds_of(program))
    return times


def product() -> tuple[Callable[[], jax.Array], float]:
    """A large square matrix product, to measure what the machine can reach, and its floating-point operations."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    multiply = jax.jit(lambda a: a @ a)
    jax.block_until_ready(multiply(matrix))
    return lambda: multiply(matrix), 2.0 * size**3
