"""Windows of consecutive transitions, found by following each transition to the next one of its episode."""

from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from drol.data.transitions import Transitions
from drol.errors import DataError, both
from drol.types import Chunking

Table = TypeVar("Table", Array, np.ndarray)
"""A table on the device or on the host; the functions below take either, and return the same."""


def windows_from(
    first: Table,
    next_action_index: Table,
    masks: Table,
    chunking: Chunking,
) -> tuple[Table, Table]:
    """The windows that begin at some transitions.

    Args:
        first: (batch,)
        next_action_index: of all transitions; see `Transitions`.
        masks: of all transitions.
        chunking: how many steps a window has.

    Returns:
        `(rows, valid)`, each (batch, steps): the numbers of its transitions, of which the last one is repeated beyond
        the end of an episode, or a true end; and True for those before that.
    """
    row, goes_on = first, first >= 0
    rows, valid = [row], [goes_on]
    for _ in range(chunking.steps - 1):
        following = next_action_index[row]
        goes_on = following != row
        if chunking.absorbing:
            goes_on = goes_on & (masks[row] > 0)
        # Arithmetic, because NumPy and JAX have different functions for a choice.
        row = row + (following - row) * goes_on
        rows.append(row)  # pyright: ignore[reportArgumentType]
        valid.append(goes_on)
    return _columns(rows), _columns(valid)


def actions_after(last: Table, next_action_index: Table, chunk: int) -> Table:
    """(batch, chunk), whose actions follow `last` in the data: the next plan, repeated beyond the episode's end."""
    rows = [next_action_index[last]]
    for _ in range(chunk - 1):
        rows.append(next_action_index[rows[-1]])
    return _columns(rows)  # pyright: ignore[reportReturnType]


def _columns(parts: list[Table]) -> Table:
    stack = np.stack if isinstance(parts[0], np.ndarray) else jnp.stack
    return stack(parts, axis=1)  # pyright: ignore[reportArgumentType, reportCallIssue, reportReturnType]


def share_of_whole_windows(transitions: Transitions, chunking: Chunking) -> float:
    """The share of transitions that begin a window whose return is known; 0 where nothing follows anything."""
    masks, links = transitions.masks, transitions.next_action_index
    row = np.arange(len(transitions), dtype=links.dtype)
    if (links == row).all():
        return 0.0  # there is no order, even if some transitions are true ends
    inside, ended = np.ones(len(row), bool), np.zeros(len(row), bool)
    for _ in range(chunking.steps - 1):
        ended |= inside & (masks[row] == 0)
        inside &= links[row] != row
        row = links[row]
    return float(np.mean(inside | ended))


def check_windows(transitions: Transitions, chunking: Chunking) -> None:
    """Refuse data from which no chunk can be drawn, such as shuffled tuples.

    Raises:
        DataError: saying what is needed.
    """
    if chunking.steps > 1 and share_of_whole_windows(transitions, chunking) == 0:
        raise DataError(
            *both(
                f"no {chunking.steps} consecutive steps of one episode are in these data, so chunks cannot be drawn "
                f"from them: give the steps in the order in which they were recorded, with terminated and truncated "
                f"where episodes end, or leave --chunk and --n-step at 1"
            )
        )
