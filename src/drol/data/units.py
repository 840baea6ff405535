"""The units of a data set: the action bounds that a log states, and observations normalised by their statistics."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from drol.data.dataset import Dataset
from drol.data.log import BLOCK, Log
from drol.errors import DataError
from drol.types import Spec, Units, inward


def units_of(log: Log) -> Units | None:
    """The units a log states: its action bounds, or None if they are [-1, 1] or unstated.

    Raises:
        DataError: if the bounds do not match the actions, or are not valid bounds.
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
    """A bound as one number per dimension of the actions; what is not a number becomes NaN, which is refused later."""
    if bound.dtype.kind not in "fiu":
        return np.full(width, np.nan)
    single = bound.astype(np.float64).ravel()
    return np.full(width, single[0]) if single.size == 1 else single


def normalised(data: Dataset) -> Dataset:
    """The same data with observations of mean 0 and standard deviation 1 in each dimension, and units to match.

    The statistics are those of the training table, in which each recorded state counts once; a constant dimension keeps
    its scale. The tables are changed in place.
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
    # In a constant dimension, the deviation is rounding, not a scale.
    constant = std <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(constant, 1, std).astype(np.float32)


def _blocks(table: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(table), BLOCK):
        yield table[start : start + BLOCK]
