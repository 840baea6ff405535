"""Your own data: transitions from arrays in memory, and what every reader of logs shares."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from drol.data.checks import array_of, check_flags, check_table, column
from drol.data.episodes import Transitions, check_actions, check_array
from drol.data.log import BLOCK, Log
from drol.files import DataError
from drol.types import Spec, Units, inward

MIN_EPISODES = 20
"""With fewer, no episode can be spared for validation."""

HELD_OUT = 20
"""One episode in so many is held out for validation."""

Allocate = Callable[[str, tuple[int, int]], np.ndarray]
"""(name, shape) -> room for a table of float32."""


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

    A tuple's next state is stored once where it is the following tuple's state.

    Anything that NumPy makes an array of will do: JAX arrays, tensors on the CPU, data frames, lists.

    Args:
        observations: (T, observation).
        actions: (T, action) in [-1, 1], or within the bounds of `units`.
        rewards: (T,), or (T, 1), as the flags.
        terminated: (T,) true where s' is a true end (success, failure), after which nothing more is earned.
        next_observations: (T, observation).
        truncated: (T,) true where an episode was merely cut (a time limit); bootstrapping goes on there.
        units: bounds of the actions; give the same to `drol.in_units`, so that the policy speaks them too.

    Raises:
        DataError: naming the array, the row and what was expected.
    """
    given = {"observations": observations, "actions": actions, "rewards": rewards, "terminated": terminated}
    given |= {"next_observations": next_observations}
    given |= {} if truncated is None else {"truncated": truncated}
    columns = {name: array_of(name, value, "from_arrays") for name, value in given.items()}
    return to_transitions(log_of_tuples(columns, "from_arrays"), units)


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
    # Without time-outs, an episode ends where the next row begins elsewhere.
    ends = terminated | (~_follows(observations, following, number, number) if truncated is None else truncated)
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


def log_of_states(columns: Mapping[str, np.ndarray], where: str) -> Log:
    """A log of episodes of states, in OGBench's format: each episode ends with a state that has no successor.

    Args:
        columns: `observations` (M, observation), every state, final ones included; `actions` (M, action), of which
            those at final states mean nothing; `terminals` (M,) true at final states; and, where there are such,
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
            f"{where}: the episode at row {int(np.argmax(alone))} has a single state and so no transition; remove "
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


def _follows(observations: np.ndarray, following: np.ndarray, index: np.ndarray, next_index: np.ndarray) -> np.ndarray:
    """(T,) whether each transition's s' is the next one's s; the last one's is not."""
    result = np.zeros(len(index), bool)
    for start in range(0, len(index) - 1, BLOCK):
        stop = min(start + BLOCK, len(index) - 1)
        # As they will be stored: the two tables may be of different precision.
        after = observations[index[start + 1 : stop + 1]].astype(np.float32)
        result[start:stop] = (following[next_index[start:stop]].astype(np.float32) == after).all(axis=-1)
    return result


def units_of(log: Log) -> Units | None:
    """The units a log states: its bounds of actions, or None where they are [-1, 1] or unstated.

    Raises:
        DataError: if the bounds do not fit the actions, or are no bounds.
    """
    if log.action_low is None or log.action_high is None:
        return None
    width = log.actions.shape[-1]
    low, high = inward(*(bound_for(width, bound) for bound in (log.action_low, log.action_high)))
    if (
        low.shape != (width,)
        or high.shape != (width,)
        or not (np.isfinite(low) & np.isfinite(high) & (low < high)).all()
    ):
        raise DataError(
            f"{log.where}: bounds of actions must be {width} finite numbers each, the lower below the higher; found "
            f"{low} and {high}"
        )
    if (low == -1).all() and (high == 1).all():
        return None
    identity = Units.identity(Spec(log.observations.shape[-1], width))
    return dataclasses.replace(identity, action_low=low, action_high=high)


def bound_for(width: int, bound: np.ndarray) -> np.ndarray:
    """A bound as one number per dimension of the actions; what is no number becomes NaN, to be refused as such."""
    if bound.dtype.kind not in "fiu":
        return np.full(width, np.nan)
    single = bound.astype(np.float64).ravel()
    return np.full(width, single[0]) if single.size == 1 else single


def hold_out(log: Log) -> tuple[Log, Log | None]:
    """Split off every twentieth episode for validation; logs of fewer than 20 episodes are left whole.

    Returns:
        The log to learn from, and the held-out one.
    """
    episode = np.concatenate([[0], np.cumsum(log.ends[:-1])])
    if episode[-1] + 1 < MIN_EPISODES:
        return log, None
    held_out = episode % HELD_OUT == HELD_OUT - 1
    return _select(log, ~held_out), _select(log, held_out)


def _select(log: Log, chosen: np.ndarray) -> Log:
    names = ("actions", "rewards", "terminated", "truncated", "ends", "index", "next_index", "rows")
    columns = {name: getattr(log, name) for name in names}
    return dataclasses.replace(log, **{n: None if column is None else column[chosen] for n, column in columns.items()})


def in_memory(name: str, shape: tuple[int, int]) -> np.ndarray:
    """Room for a table in memory."""
    return np.empty(shape, np.float32)


def to_transitions(log: Log, units: Units | None = None, *, allocate: Allocate = in_memory) -> Transitions:
    """Training data of a log, every value checked.

    Args:
        log: from any reader.
        units: see `units_of`.
        allocate: makes room for the large tables.

    Raises:
        DataError: naming the array, the row and what was expected.
    """
    count = len(log)
    if not count:
        raise DataError(f"{log.where}: there is no transition in it; at least one is needed")
    if log.rewards is None:
        what = f"{log.where}: 'rewards' are missing; name the array that holds them"
        more = "name the task of a file in OGBench's format, or store zeros to imitate alone"
        raise DataError(f"{what} (columns=), {more}", f"{what} (--columns rewards=...), {more}")
    rewards = check_array("rewards", log.rewards, (count,), log.where, log.rows, log.place)
    actions = allocate("actions", log.actions.shape)
    for start in range(0, count, BLOCK):
        block = slice(start, start + BLOCK)
        checked = check_array("actions", log.actions[block], (None, None), log.where, log.rows[block], log.place)
        actions[block] = check_actions(checked, log.where, units, log.rows[block], log.place)
    observations, index, next_index, continues = _table(log, allocate)
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


def _table(log: Log, allocate: Allocate) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One table of all observations, the rows of s and s' in it, and where the next transition goes on from s'."""
    count, width = len(log), log.observations.shape[-1]
    continues = ~log.ends
    continues[-1] = False
    if log.next_observations is None:
        continues[:-1] &= log.next_index[:-1] == log.index[1:]
        used, places = np.unique(np.concatenate([log.index, log.next_index]), return_inverse=True)
        table = allocate("observations", (len(used), width))
        _fill(table, log.observations, used, "observations", log)
        return table, places[:count], places[count:], continues
    # Tuples: s' is stored once where it is the following tuple's s, and behind all s where it is not.
    continues &= _follows(log.observations, log.next_observations, log.index, log.next_index)
    apart = np.flatnonzero(~continues)
    table = allocate("observations", (count + len(apart), width))
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
