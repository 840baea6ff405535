"""What a task's data set is once loaded: training and validation transitions, and the user's units."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from drol.data.episodes import Transitions
from drol.data.log import BLOCK
from drol.types import Spec, Units


@dataclasses.dataclass(frozen=True)
class OfflineData:
    """A data set ready for training.

    Attributes:
        train: transitions to learn from.
        validation: held-out ones, or None where there are none.
        source: where they came from, for the run's record: `kind`, and `files` with name, bytes and SHA-256 each.
        units: what leads from the user's units to those of `train` and back; None where they are the same.
        notes: what the reader took for granted or left out, in sentences for the user.
    """

    train: Transitions
    validation: Transitions | None
    source: dict[str, Any]
    units: Units | None = None
    notes: tuple[str, ...] = ()


def normalised(data: OfflineData) -> OfflineData:
    """The same data with observations of mean 0 and standard deviation 1 in each dimension, and units that say so.

    The statistics are those of the training table, in which each recorded state counts once; a constant dimension keeps
    its scale. Its tables are changed in place.
    """
    table = data.train.observations
    units = Units.identity(Spec(table.shape[-1], data.train.actions.shape[-1])) if data.units is None else data.units
    mean, std = _moments(table)
    units = dataclasses.replace(units, observation_mean=mean, observation_std=std)
    for part in (data.train, data.validation):
        if part is not None:
            for block in _blocks(part.observations):
                block[:] = units.observation_inward(block)
    return dataclasses.replace(data, units=units)


def _moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, by blocks and in double precision."""
    mean = np.sum([block.sum(axis=0, dtype=np.float64) for block in _blocks(table)], axis=0) / len(table)
    squares = np.sum([((block - mean) ** 2).sum(axis=0) for block in _blocks(table)], axis=0)
    std = np.sqrt(squares / len(table))
    # What rounding leaves of a constant is no scale.
    constant = std <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(constant, 1, std).astype(np.float32)


def _blocks(table: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(table), BLOCK):
        yield table[start : start + BLOCK]
