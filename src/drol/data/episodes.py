"""From arrays on disk or in memory to transitions that respect episode boundaries."""

import dataclasses

import numpy as np

from drol.files import DataError

ACTION_LIMIT = 1 - 1e-5
"""Data set actions are clipped to +- this value (as in the authors' code)."""


@dataclasses.dataclass(frozen=True)
class Transitions:
    """A data set on the host.

    One table holds every observation once, final states included; a transition points into it. So arbitrary tuples,
    episodes and next actions all fit. T transitions, M observations.

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


def check_array(name: str, array: np.ndarray, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """`array` as float32, checked.

    Args:
        name: what the message calls it.
        array: anything NumPy holds.
        shape: expected lengths, None where any will do.
        where: the file or call it came from.

    Raises:
        DataError: for a wrong number of dimensions or length, a type that is no number, NaN or infinity.
    """
    expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    matches = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not matches:
        raise DataError(f"{where}: {name!r} must have shape {expected}, found {array.shape}")
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: {name!r} must hold numbers, found data type {array.dtype}")
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    finite = np.isfinite(single)
    if not finite.all():
        row, count = int(np.argwhere(~finite)[0][0]), int((~finite).sum())
        raise DataError(
            f"{where}: {name!r} has {count} NaN or infinite values (in float32), the first in row {row}; remove or mend"
        )
    return single


def check_actions(actions: np.ndarray, where: str) -> np.ndarray:
    """Actions clipped to +-(1 - 1e-5).

    Raises:
        DataError: if an action lies outside [-1, 1] by more than rounding.
    """
    beyond = np.abs(actions).max(axis=-1, initial=0) > 1 + 1e-4
    if beyond.any():
        row = int(np.argmax(beyond))
        raise DataError(
            f"{where}: actions must lie in [-1, 1]; {int(beyond.sum())} rows do not, the first is row {row} with "
            f"{np.array2string(actions[row], precision=3)}; rescale them to [-1, 1] first"
        )
    return np.clip(actions, -ACTION_LIMIT, ACTION_LIMIT)


def check_masks(masks: np.ndarray, where: str) -> np.ndarray:
    """Masks, all 0 or 1.

    Raises:
        DataError: otherwise.
    """
    wrong = (masks != 0) & (masks != 1)
    if wrong.any():
        raise DataError(f"{where}: masks must be 0 or 1, found {masks[wrong][0]:g} in row {int(np.argmax(wrong))}")
    return masks


def episode_rows(terminals: np.ndarray, where: str) -> np.ndarray:
    """The rows that start a transition in the format where every episode ends with its last state.

    Args:
        terminals: (M,) true at the last state of each episode.
        where: the file or call it came from.

    Returns:
        Row numbers of the states that have a successor, in order.

    Raises:
        DataError: if the last row does not end an episode, or an episode has a single state.
    """
    ends = terminals.astype(bool)
    if not len(ends) or not ends[-1]:
        raise DataError(f"{where}: 'terminals' must be true in its last row, where the last episode ends; cut off?")
    starts = np.concatenate([[True], ends[:-1]])
    if (starts & ends).any():
        row = int(np.argmax(starts & ends))
        raise DataError(
            f"{where}: the episode at row {row} has a single state and so no transition; remove one-step episodes"
        )
    return np.flatnonzero(~ends)


def from_states(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    masks: np.ndarray,
    terminals: np.ndarray,
    *,
    where: str = "from_states",
) -> Transitions:
    """Transitions from episodes of states, in OGBench's format: each episode ends with a state that has no successor.

    Args:
        observations: (M, observation), every state, final ones included.
        actions: (M, action); the action at an episode's last state is ignored.
        rewards: (T,) for the states that have a successor, in order.
        masks: (T,) likewise, 1 - terminated.
        terminals: (M,) true at each episode's last state.
        where: named in messages.

    Raises:
        DataError: for wrong shapes, values or episodes.
    """
    observations = check_array("observations", observations, (None, None), where)
    actions = check_array("actions", actions, (len(observations), None), where)
    terminals = check_array("terminals", terminals, (len(observations),), where)
    rows = episode_rows(terminals, where)
    rewards = check_array("rewards", rewards, (len(rows),), where)
    masks = check_masks(check_array("masks", masks, (len(rows),), where), where)
    actions = check_actions(actions[rows], where)
    continues = np.append(rows[1:] == rows[:-1] + 1, False)
    number = np.arange(len(rows))
    return Transitions(
        observations=observations,
        actions=actions,
        rewards=rewards,
        masks=masks,
        index=rows.astype(np.int32),
        next_index=(rows + 1).astype(np.int32),
        next_action_index=np.where(continues, number + 1, number).astype(np.int32),
    )
