"""Flattening of nested observations into one vector, in a fixed order."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np

Observation = SupportsFloat | Mapping[Any, Any] | Sequence[Any]
"""An observation as environments give it: a number or an array, or dictionaries and tuples of them."""


def flatten(observation: Observation, rows: int | None = None) -> np.ndarray:
    """Flatten an observation into a vector, or several observations into rows.

    Dictionaries, including nested ones, are ordered by their keys alphabetically, tuples keep their order, and arrays
    are flattened in C order.

    Args:
        observation: one observation; or, with `rows`, arrays that each hold that many along their first axis.
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
