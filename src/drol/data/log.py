"""Logged transitions as a source holds them, before anything is checked or converted."""

import bisect
import dataclasses
from collections.abc import Mapping

import numpy as np

BLOCK = 65_536
"""Rows gone through at a time, so that tables larger than memory can be."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Rows of a source that make no transition, because their next observation is unknown.

    Attributes:
        rows: how many.
        rewards: how many of them hold a reward other than 0.
        reward_sum: of their rewards.
    """

    rows: int
    rewards: int
    reward_sum: float

    @classmethod
    def of(cls, rewards: np.ndarray | None, left_out: np.ndarray) -> "LeftOut | None":
        """What `left_out`, (rows,) bool, leaves out; None if nothing."""
        count = int(left_out.sum())
        if not count:
            return None
        if rewards is None or rewards.dtype.kind not in "fiub":
            return cls(count, 0, 0.0)
        lost = rewards[left_out].astype(np.float64)
        return cls(count, int((lost != 0).sum()), float(lost.sum()))

    def __add__(self, other: "LeftOut | None") -> "LeftOut":
        if other is None:
            return self
        rewards, total = self.rewards + other.rewards, self.reward_sum + other.reward_sum
        return LeftOut(self.rows + other.rows, rewards, total)

    def __str__(self) -> str:
        if self.rows == 1:
            return f"1 row is left out, because its next observation is unknown; its reward is {self.reward_sum:g}"
        return (
            f"{self.rows:,} rows are left out, because their next observation is unknown; their rewards sum to "
            f"{self.reward_sum:g} ({self.rewards:,} of them are not 0)"
        )


@dataclasses.dataclass(frozen=True)
class Log:
    """T logged transitions in the order they were recorded: own types, own units, values not yet checked.

    Readers make it; `drol doctor` examines it; `to_transitions` makes training data of it. Only the lengths of its
    arrays are sure to fit together. Large tables may be memory-mapped: go through them in blocks.

    Attributes:
        where: the file or data set, for messages.
        observations: (M, observation), every recorded observation once where the source allows it.
        actions: (T, action).
        rewards: (T,); None where the source has none (OGBench's files, before a task labels them).
        terminated: (T,) bool, true where s' is a true end, after which nothing more is earned.
        truncated: (T,) bool, true where the episode was merely cut; None where the source cannot tell.
        ends: (T,) bool, true at the last transition of each episode, for whatever reason.
        index: (T,) int, the row of s in `observations`.
        next_index: (T,) int, the row of s' in `next_observations` if there is such a table, else in `observations`.
        rows: (T,) int, the source's own number of each transition's row, for messages.
        next_observations: a table of successors apart, for sources that store them so.
        states: simulator states by name (`qpos`, `qvel`, ...), (M, ...), row by row with `observations`; empty where
            none were recorded.
        action_low, action_high: (action,) bounds the source states, in its own units; None where it states none.
        left_out: rows of the source that are in no transition; None where there are none.
        notes: what the reader took for granted, in sentences for the user.
        parts: of several files or groups laid one after another: the first row of each in `observations`, and its name.
    """

    where: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray | None
    terminated: np.ndarray
    truncated: np.ndarray | None
    ends: np.ndarray
    index: np.ndarray
    next_index: np.ndarray
    rows: np.ndarray
    next_observations: np.ndarray | None = None
    states: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    action_low: np.ndarray | None = None
    action_high: np.ndarray | None = None
    left_out: LeftOut | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.actions)

    def place(self, row: int) -> str:
        """A row in words: `row 7`, or `row 7 of episode_3.npz` where there are several files or groups."""
        at = bisect.bisect_right(self.parts, row, key=lambda part: part[0]) - 1
        if at < 0:
            return f"row {row}"
        start, name = self.parts[at]
        return f"row {row - start} of {name}"

    @property
    def successors(self) -> np.ndarray:
        """The table that `next_index` points into."""
        return self.observations if self.next_observations is None else self.next_observations
