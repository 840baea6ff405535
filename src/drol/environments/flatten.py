"""Dictionaries of observations as one row of numbers, in one stated order."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np

Observation = SupportsFloat | Mapping[Any, Any] | Sequence[Any]
"""An observation as environments give it: a number or an array, or dictionaries and tuples of them."""


def flatten(observation: Observation, rows: int | None = None) -> np.ndarray:
    """Observations as numbers in a row.

    Dictionaries go by their keys in alphabetical order, nested ones likewise, tuples in their own order, arrays in C
    order.

    Args:
        observation: one observation; or, with `rows`, arrays that hold as many each, along their first axis.
        rows: how many observations the arrays hold.

    Returns:
        (observation,), or (rows, observation).
    """
    if isinstance(observation, Mapping):
        parts = [flatten(observation[key], rows) for key in sorted(observation)]
    elif isinstance(observation, tuple):
        parts = [flatten(part, rows) for part in observation]
    else:
        array = np.asarray(observation)
        return array.reshape((rows, int(np.prod(array.shape[1:], dtype=int)))) if rows is not None else array.ravel()
    return np.concatenate(parts, axis=-1)
