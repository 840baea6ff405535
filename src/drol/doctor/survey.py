"""What several checks need from a log: its episodes, its finite rows, and how large its steps are."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from drol.data.log import BLOCK, Log
from drol.doctor.findings import SHOWN_ROWS, Finding, Severity

SAMPLE = 20_000
"""Transitions sampled to estimate a dimension's typical step; its quantiles are then known to about 1 %."""

NUMBERS = 4_000_000
"""Numbers of a table held in memory at once, however wide its rows: 16 MB, and a few times that with temporaries."""

FEWEST = 500
"""A sample or block has at least this many rows, however wide they are."""

SMOOTH_MOVING = 0.5
SMOOTH_CARRIED = 0.5
"""A dimension is smooth if it moves in at least half of the steps, and plausible steps make up at least half of the
distance it covers. Others (buttons, objects at rest until touched) move in jumps, so jumps prove nothing there."""

JUMP_FACTOR = 6
JUMP_TAIL = 6
"""A smooth dimension's largest plausible step is its 95 % quantile times max(6, (q99 / q95)^6). The second term makes
room for heavy tails, such as velocities at contacts. OGBench's and MuJoCo's steps stay below 0.7 of this limit; at
least half of all resets exceed it."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """A log whose structure has been checked, read in blocks.

    Attributes:
        log: the log.
        seed: for every sample.
    """

    log: Log
    seed: int

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """(T,) true at each episode's last transition; the last row always ends one."""
        ends = np.array(self.log.ends, bool)
        ends[-1] = True
        return ends

    @functools.cached_property
    def last(self) -> np.ndarray:
        """(E,) the last transition of each episode."""
        return np.flatnonzero(self.ends)

    @functools.cached_property
    def first(self) -> np.ndarray:
        """(E,) the first transition of each episode."""
        return np.append(0, self.last[:-1] + 1)

    @property
    def lengths(self) -> np.ndarray:
        """(E,) transitions per episode."""
        return self.last - self.first + 1

    @functools.cached_property
    def episode(self) -> np.ndarray:
        """(T,) the episode each transition belongs to."""
        return np.repeat(np.arange(len(self.last), dtype=np.int32), self.lengths)

    @property
    def width(self) -> int:
        """Numbers per observation."""
        return self.log.observations.shape[1]

    @property
    def _rows(self) -> int:
        return max(FEWEST, NUMBERS // max(self.width, self.log.actions.shape[1]))

    def generator(self, purpose: int) -> np.random.Generator:
        """A generator for one purpose, independent of those for other purposes."""
        return np.random.default_rng([self.seed, purpose])

    def blocks(self) -> Iterator[slice]:
        """Consecutive stretches of transitions."""
        rows = min(BLOCK, self._rows)
        for start in range(0, len(self.log), rows):
            yield slice(start, min(start + rows, len(self.log)))

    def states(self, at: np.ndarray | slice) -> np.ndarray:
        """(n, observation) floating-point observations of transitions."""
        return take(self.log.observations, self.log.index[at])

    def successors(self, at: np.ndarray | slice) -> np.ndarray:
        """(n, observation) floating-point next observations of transitions."""
        return take(self.log.successors, self.log.next_index[at])

    def actions(self, at: np.ndarray | slice) -> np.ndarray:
        """(n, action) floating-point actions of transitions, in the source's units."""
        return as_float(self.log.actions[at])

    def rewards(self, at: np.ndarray | slice) -> np.ndarray:
        """(n,) float64 rewards of transitions; the log must have rewards."""
        assert self.log.rewards is not None
        return np.asarray(self.log.rewards[at], np.float64)

    def finding(self, name: str, severity: Severity, what: str, why: str, remedy: str, at: np.ndarray) -> Finding:
        """A finding about the transitions `at`, named by the source's own row numbers."""
        rows = tuple(int(row) for row in self.log.rows[at[:SHOWN_ROWS]])
        return Finding(name, severity, what, why, remedy, rows, len(at))

    @functools.cached_property
    def finite(self) -> np.ndarray:
        """(T,) true where s, a, r and s' are all finite in float32."""
        good = np.ones(len(self.log), bool)
        for block in self.blocks():
            parts = [self.states(block), self.successors(block), self.actions(block)]
            if self.log.rewards is not None:
                parts.append(self.rewards(block)[:, None])
            for part in parts:
                good[block] &= is_finite(part).all(axis=1)
        return good

    def sample(self, count: int, purpose: int, among: np.ndarray | None = None) -> np.ndarray:
        """At most `count` transitions with finite values, in order; fewer if rows are very wide.

        Args:
            count: how many at most.
            purpose: see `generator`.
            among: (T,) bool, the transitions to choose from; all by default.
        """
        good = np.flatnonzero(self.finite if among is None else self.finite & among)
        return subsample(good, min(count, self._rows), self, purpose)

    @functools.cached_property
    def limits(self) -> np.ndarray:
        """(observation,) the largest plausible step of each dimension; infinite where no step is implausible."""
        at = self.sample(SAMPLE, 1, ~self.ends)
        limits = np.full(self.width, np.inf)
        steps = np.abs(self.successors(at).astype(np.float64) - self.states(at))
        for number, step in enumerate(steps.T):
            moves = step[step > 0]
            if not len(moves) or len(moves) < SMOOTH_MOVING * len(step):
                continue
            high, highest = np.quantile(moves, (0.95, 0.99))
            limit = high * max(JUMP_FACTOR, (highest / high) ** JUMP_TAIL)
            if moves[moves <= limit].sum() >= SMOOTH_CARRIED * moves.sum():
                limits[number] = limit
        return limits

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """(T,) float32, each step's size relative to the largest plausible one; 0 where it is unknown."""
        scores = np.zeros(len(self.log), np.float32)
        smooth = np.flatnonzero(np.isfinite(self.limits))
        if len(smooth):
            for block in self.blocks():
                steps = np.abs(self.successors(block)[:, smooth] - self.states(block)[:, smooth])
                scores[block] = np.nan_to_num((steps / self.limits[smooth]).max(axis=1), nan=0, posinf=0)
        return scores


def as_float(array: np.ndarray) -> np.ndarray:
    """Floating-point numbers, of the array's own type if that is float32 or float64."""
    array = np.asarray(array)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def take(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of a table as floating-point numbers; a view if they are consecutive."""
    index = np.asarray(index)
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return as_float(table[int(index[0]) : int(index[-1]) + 1])
    return as_float(table[index])


def is_finite(array: np.ndarray) -> np.ndarray:
    """Whether numbers are finite in float32, as training sees them."""
    return np.isfinite(array.astype(np.float32, copy=False))


def subsample(at: np.ndarray, count: int, survey: Survey, purpose: int) -> np.ndarray:
    """At most `count` of `at`, in order."""
    if len(at) <= count:
        return at
    return np.sort(survey.generator(purpose).choice(at, count, replace=False))
