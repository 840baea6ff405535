"""Training data on the host: transitions that respect episode boundaries."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from drol.data.checks import array_of, check_actions, check_array
from drol.data.log import BLOCK, Log, follows, log_of_tuples
from drol.data.mapped import new_table
from drol.errors import DataError
from drol.types import Units


@dataclasses.dataclass(frozen=True)
class Transitions:
    """A data set on the host.

    One table holds every observation once, final states included, and transitions point into it. This fits arbitrary
    tuples, episodes and next actions alike. There are T transitions and M observations.

    Attributes:
        observations: (M, observation) float32.
        actions: (T, action) float32 in [-1, 1].
        rewards: (T,) float32.
        masks: (T,) float32, 1 - terminated.
        index: (T,) int32, the row of s.
        next_index: (T,) int32, the row of s'.
        next_action_index: (T,) int32, the transition whose action follows; its own number at an episode's end.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    masks: np.ndarray
    index: np.ndarray
    next_index: np.ndarray
    next_action_index: np.ndarray

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def is_mapped(self) -> bool:
        """Whether the large tables are memory-mapped files."""
        return isinstance(self.observations, np.memmap)


def from_arrays(
    observations: ArrayLike,
    actions: ArrayLike,
    rewards: ArrayLike,
    terminated: ArrayLike,
    next_observations: ArrayLike,
    *,
    truncated: ArrayLike | None = None,
    units: Units | None = None,
) -> Transitions:
    """Transitions from tuples (s, a, r, terminated, s'), T of them, in the order they were recorded.

    A next state that is also the following tuple's state is stored once.

    Anything that NumPy can convert to an array is accepted: JAX arrays, tensors on the CPU, data frames, lists.

    Args:
        observations: (T, observation).
        actions: (T, action) in [-1, 1], or within the bounds of `units`.
        rewards: (T,) or (T, 1), like the flags.
        terminated: (T,) true where s' is a true end (success, failure), after which nothing more is earned.
        next_observations: (T, observation).
        truncated: (T,) true where an episode was merely cut off (a time limit); bootstrapping continues there.
        units: bounds of the actions; give the same to `drol.in_units`, so that the policy uses them too.

    Returns:
        Transitions for `drol.ReplayData.from_transitions`.

    Raises:
        DataError: names the array, the row and what was expected.
    """
    given = {"observations": observations, "actions": actions, "rewards": rewards, "terminated": terminated}
    given |= {"next_observations": next_observations}
    given |= {} if truncated is None else {"truncated": truncated}
    columns = {name: array_of(name, value, "from_arrays") for name, value in given.items()}
    return to_transitions(log_of_tuples(columns, "from_arrays"), units)


def to_transitions(log: Log, units: Units | None = None, *, folder: Path | None = None) -> Transitions:
    """A log as training data, every value checked.

    Args:
        log: from any reader.
        units: see `drol.data.units.units_of`.
        folder: if given, the large tables are written there and memory-mapped.

    Raises:
        DataError: names the array, the row and what was expected.
    """
    count = len(log)
    if not count:
        raise DataError(f"{log.where}: there is no transition in it; at least one is needed")
    if log.rewards is None:
        what = f"{log.where}: 'rewards' are missing; name the array that holds them"
        more = "name the task if the file is in OGBench's format, or store zeros if you only want to imitate"
        raise DataError(f"{what} (columns=), {more}", f"{what} (--columns rewards=...), {more}")
    rewards = check_array("rewards", log.rewards, (count,), log.where, log.rows, log.place)
    actions = new_table("actions", log.actions.shape, folder)
    for start in range(0, count, BLOCK):
        block = slice(start, start + BLOCK)
        checked = check_array("actions", log.actions[block], (None, None), log.where, log.rows[block], log.place)
        actions[block] = check_actions(checked, log.where, units, log.rows[block], log.place)
    observations, index, next_index, continues = _table(log, folder)
    number = np.arange(count)
    return Transitions(
        observations=observations,
        actions=actions,
        rewards=rewards,
        masks=1 - log.terminated.astype(np.float32),
        index=index.astype(np.int32),
        next_index=next_index.astype(np.int32),
        next_action_index=np.where(continues, number + 1, number).astype(np.int32),
    )


def _table(log: Log, folder: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One table of all observations, the rows of s and s' in it, and where the next transition continues from s'."""
    count, width = len(log), log.observations.shape[-1]
    continues = ~log.ends
    continues[-1] = False
    if log.next_observations is None:
        continues[:-1] &= log.next_index[:-1] == log.index[1:]
        used, places = np.unique(np.concatenate([log.index, log.next_index]), return_inverse=True)
        table = new_table("observations", (len(used), width), folder)
        _fill(table, log.observations, used, "observations", log)
        return table, places[:count], places[count:], continues
    # Tuples: s' is stored once if it is the following tuple's s, otherwise after all s.
    continues &= follows(log.observations, log.next_observations, log.index, log.next_index)
    apart = np.flatnonzero(~continues)
    table = new_table("observations", (count + len(apart), width), folder)
    _fill(table[:count], log.observations, log.index, "observations", log)
    _fill(table[count:], log.next_observations, log.next_index[apart], "next_observations", log)
    next_index = np.arange(1, count + 1)
    next_index[apart] = count + np.arange(len(apart))
    return table, np.arange(count), next_index, continues


def _fill(out: np.ndarray, table: np.ndarray, rows: np.ndarray, name: str, log: Log) -> None:
    """Copy rows of a table into `out`, checked and as float32, a block at a time."""
    for start in range(0, len(rows), BLOCK):
        chosen = rows[start : start + BLOCK]
        out[start : start + len(chosen)] = check_array(name, table[chosen], (None, None), log.where, chosen, log.place)
