"""Logged transitions as stored in a source, before anything is checked or converted."""

import bisect
import dataclasses
from collections.abc import Mapping

import numpy as np

from drol.data.checks import check_flags, check_table, column
from drol.errors import DataError

BLOCK = 65_536
"""Rows processed at a time, so that tables can be larger than memory."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Rows of a source that give no transition, because their next observation is unknown.

    Attributes:
        rows: how many.
        rewards: how many of them hold a reward other than 0.
        reward_sum: the sum of their rewards.
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
    """T logged transitions in the order they were recorded, in the source's types and units, values not yet checked.

    Readers create it, `drol doctor` examines it, and `to_transitions` turns it into training data. Only the lengths of
    its arrays are guaranteed to match. Large tables may be memory-mapped: process them in blocks.

    Attributes:
        where: the file or data set, for messages.
        observations: (M, observation), every recorded observation once where the source allows it.
        actions: (T, action).
        rewards: (T,); None if the source has none (OGBench's files, before a task labels them).
        terminated: (T,) bool, true where s' is a true end, after which nothing more is earned.
        truncated: (T,) bool, true where the episode was merely cut off; None if the source does not say.
        ends: (T,) bool, true at the last transition of each episode, for whatever reason.
        index: (T,) int, the row of s in `observations`.
        next_index: (T,) int, the row of s' in `next_observations` if there is such a table, else in `observations`.
        rows: (T,) int, the source's own number of each transition's row, for messages.
        next_observations: a separate table of successors, for sources that store one.
        states: simulator states by name (`qpos`, `qvel`, ...), (M, ...), with the rows of `observations`; empty if none
            were recorded.
        action_low, action_high: (action,) bounds that the source states, in its own units; None if it states none.
        left_out: rows of the source that are in no transition; None if there are none.
        notes: what the reader assumed, in sentences for the user.
        parts: if several files or groups were concatenated, the first row of each in `observations`, and its name.
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
        """A row in words: `row 7`, or `row 7 of episode_3.npz` if there are several files or groups."""
        at = bisect.bisect_right(self.parts, row, key=lambda part: part[0]) - 1
        if at < 0:
            return f"row {row}"
        start, name = self.parts[at]
        return f"row {row - start} of {name}"

    @property
    def successors(self) -> np.ndarray:
        """The table that `next_index` points into."""
        return self.observations if self.next_observations is None else self.next_observations


def log_of_tuples(columns: dict[str, np.ndarray], where: str) -> Log:
    """A log of tuples with the names of `from_arrays`; lengths and flags are checked.

    Raises:
        DataError: if lengths differ or a flag is neither true nor false.
    """
    observations, actions = columns["observations"], columns["actions"]
    if observations.ndim and not len(observations):
        raise DataError(f"{where}: 'observations' has no rows; at least one transition is needed")
    check_table("observations", observations, None, where)
    count = len(observations)
    check_table("actions", actions, count, where)
    following = columns["next_observations"]
    if following.shape != observations.shape:
        raise DataError(f"{where}: 'next_observations' must have shape {observations.shape}, found {following.shape}")
    check_table("next_observations", following, count, where)
    terminated = check_flags("terminated", columns["terminated"], count, where)
    truncated = None
    if "truncated" in columns:
        truncated = check_flags("truncated", columns["truncated"], count, where)
    rewards = columns.get("rewards")
    number = np.arange(count)
    # Without flags of time-outs, an episode ends where the next row starts from another state.
    ends = terminated | (~follows(observations, following, number, number) if truncated is None else truncated)
    ends[-1:] = True
    return Log(
        where=where,
        observations=observations,
        actions=actions,
        rewards=None if rewards is None else column("rewards", rewards, count, where),
        terminated=terminated,
        truncated=truncated,
        ends=ends,
        index=number,
        next_index=number,
        rows=number,
        next_observations=following,
    )


def follows(observations: np.ndarray, following: np.ndarray, index: np.ndarray, next_index: np.ndarray) -> np.ndarray:
    """(T,) whether each transition's s' is the next one's s; the last one's is not."""
    result = np.zeros(len(index), bool)
    for start in range(0, len(index) - 1, BLOCK):
        stop = min(start + BLOCK, len(index) - 1)
        # Compared as they will be stored, because the two tables may differ in precision.
        after = observations[index[start + 1 : stop + 1]].astype(np.float32)
        result[start:stop] = (following[next_index[start:stop]].astype(np.float32) == after).all(axis=-1)
    return result


def log_of_states(columns: Mapping[str, np.ndarray], where: str) -> Log:
    """A log of episodes of states, in OGBench's format: each episode ends with a state that has no successor.

    Args:
        columns: `observations` (M, observation), every state, final ones included; `actions` (M, action), of which
            those at final states are ignored; `terminals` (M,) true at final states; and optionally
            `rewards` and `masks` (1 - terminated), (T,) for the states that have a successor.
        where: the file or call they came from.

    Raises:
        DataError: for wrong lengths or flags, an episode cut off, or one of a single state.
    """
    check_table("observations", columns["observations"], None, where)
    count = len(columns["observations"])
    check_table("actions", columns["actions"], count, where)
    final = check_flags("terminals", columns["terminals"], count, where)
    if not final.any() or not final[-1]:
        raise DataError(f"{where}: 'terminals' must be true in its last row, where the last episode ends; cut off?")
    alone = final & np.concatenate([[True], final[:-1]])
    if alone.any():
        raise DataError(
            f"{where}: the episode at row {int(np.argmax(alone))} has a single state, so no transition; remove "
            f"one-step episodes"
        )
    rows = np.flatnonzero(~final)
    ends = final[rows + 1]
    rewards = columns.get("rewards")
    terminated = np.zeros(len(rows), bool)
    if "masks" in columns:
        terminated = ~check_flags("masks", columns["masks"], len(rows), where)
    return Log(
        where=where,
        observations=columns["observations"],
        actions=columns["actions"][rows],
        rewards=None if rewards is None else column("rewards", rewards, len(rows), where),
        terminated=terminated,
        truncated=ends & ~terminated,
        ends=ends,
        index=rows,
        next_index=rows + 1,
        rows=rows,
    )


def log_of_rows(columns: Mapping[str, np.ndarray], where: str, episode: bool) -> Log:
    """A log of rows in time order, which do not store their successors."""
    observations, actions = columns["observations"], columns["actions"]
    count = len(actions)
    if len(observations) not in (count, count + 1):
        raise DataError(
            f"{where}: 'observations' must have as many rows as 'actions', {count}, or one more; found "
            f"{len(observations)}"
        )
    terminated = check_flags("terminated", columns["terminated"], count, where)
    truncated = check_flags("truncated", columns["truncated"], count, where) if "truncated" in columns else None
    number, ends = np.arange(count), terminated if truncated is None else terminated | truncated
    kept = np.full(count, True)
    if len(observations) == count:
        # What followed a time-out is unknown; what followed an end does not matter.
        kept = ~ends | terminated
        kept[-1:] &= terminated[-1:]
        next_index = np.where(terminated, number, number + 1)
    else:
        if ends[:-1].any() and not episode:
            row = int(np.argmax(ends))
            raise DataError(
                f"{where}: with one more row of observations than of actions it must be a single episode, but it ends "
                f"in row {row} of {count}; store each episode in a separate file"
            )
        next_index = number + 1
    rows = number[kept]
    last = np.append(rows[1:] != rows[:-1] + 1, True)[: len(rows)] | ends[kept]
    rewards = columns.get("rewards")
    if rewards is not None:
        rewards = column("rewards", rewards, count, where)
    return Log(
        where=where,
        observations=observations,
        actions=actions if kept.all() else actions[kept],
        rewards=None if rewards is None else rewards[kept],
        terminated=terminated[kept],
        # A row that is flagged as both stays so, for the doctor to report.
        truncated=None if truncated is None else (last & ~terminated[kept]) | truncated[kept],
        ends=last,
        index=rows,
        next_index=next_index[kept],
        rows=rows,
        left_out=LeftOut.of(rewards, ~kept),
    )
