"""From arrays on disk or in memory to transitions that respect episode boundaries."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.data.checks import check_numbers
from drol.files import DataError

if TYPE_CHECKING:
    # Not at run time: JAX comes with it, which the processes that collect data can do without.
    from drol.types import Units

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


def check_array(
    name: str,
    array: np.ndarray,
    shape: tuple[int | None, ...],
    where: str,
    rows: np.ndarray | None = None,
    place: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """`array` as float32, checked.

    Args:
        name: what the message calls it.
        array: anything NumPy holds.
        shape: expected lengths, None where any will do.
        where: the file or call it came from.
        rows: the source's number of each row; 0, 1, ... without.
        place: a row's number in words.

    Raises:
        DataError: for a wrong number of dimensions or length, a type that is no number, NaN or infinity.
    """
    expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    matches = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not matches:
        raise DataError(f"{where}: {name!r} must have shape {expected}, found {array.shape}")
    check_numbers(name, array, where)
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    finite = np.isfinite(single)
    if not finite.all():
        row, count = int(np.argwhere(~finite)[0][0]), int((~finite).sum())
        row = row if rows is None else rows[row]
        raise DataError(
            f"{where}: {name!r} has {count} NaN or infinite values (in float32), the first in {place(int(row))}; "
            f"remove or mend it"
        )
    return single


def check_actions(
    actions: np.ndarray,
    where: str,
    units: "Units | None" = None,
    rows: np.ndarray | None = None,
    place: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """Actions in the learner's units, clipped to +-(1 - 1e-5).

    Args:
        actions: (T, action).
        where: the file or call they came from.
        units: whose bounds they keep to; [-1, 1] without.
        rows: the source's number of each row; 0, 1, ... without.
        place: a row's number in words.

    Raises:
        DataError: if an action lies outside its bounds by more than rounding.
    """
    scaled = actions if units is None else units.action_inward(actions)
    beyond = np.abs(scaled).max(axis=-1, initial=0) > 1 + 1e-4
    if beyond.any():
        first = int(np.argmax(beyond))
        row = first if rows is None else rows[first]
        bounds = "[-1, 1]" if units is None else f"{_shown(units.action_low)} to {_shown(units.action_high)}"
        what = (
            f"{where}: actions must lie in {bounds}; {int(beyond.sum())} rows do not, the first is {place(int(row))} "
            f"with {_shown(actions[first])}; state the bounds they keep to"
        )
        raise DataError(
            f"{what} (units= for arrays, bounds= for a file), or mend them",
            f"{what} (--action-low, --action-high), or mend them",
        )
    return np.clip(scaled, -ACTION_LIMIT, ACTION_LIMIT).astype(np.float32)


def _shown(numbers: Any) -> str:
    return np.array2string(np.asarray(numbers), precision=3, threshold=8)
