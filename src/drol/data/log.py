"""Logged transitions as a source holds them, before anything is checked or converted."""

import dataclasses
from collections.abc import Mapping

import numpy as np

BLOCK = 65_536
"""Rows gone through at a time, so that tables larger than memory can be."""


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

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def successors(self) -> np.ndarray:
        """The table that `next_index` points into."""
        return self.observations if self.next_observations is None else self.next_observations
