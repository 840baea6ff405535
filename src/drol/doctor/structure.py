"""Shapes, types and indices: what must hold before anything else can be examined."""

from collections.abc import Iterator

import numpy as np

from drol.data.log import Log
from drol.doctor.findings import SHOWN_ROWS, Finding

REMEDY = "write the data set again in this shape"


def check_structure(log: Log) -> Iterator[Finding]:
    """Faults that make a closer examination impossible."""
    if not len(log):
        yield Finding(
            "empty", "error", "there are no transitions", "nothing can be learned", "give a data set with transitions"
        )
        return
    yield from _shapes(log)
    yield from _indices(log)


def check_types(log: Log) -> Iterator[Finding]:
    """Data types that suggest contents other than expected."""
    for name, array in (("observations", log.observations), ("next observations", log.next_observations)):
        if array is None:
            continue
        if array.dtype == np.float16:
            yield Finding(
                "half-precision",
                "warning",
                f"{name} are float16",
                "only three digits are left: small differences between successive states are rounded away",
                "record them as float32",
            )
        elif array.dtype.kind in "iub":
            pixels = array.dtype == np.uint8
            yield Finding(
                "integer-observations",
                "warning",
                f"{name} are {array.dtype}" + (", as pixels are" if pixels else ""),
                "the networks take continuous states as they are: pixels or categories need encoding first",
                "encode them (one-hot for categories, features for pixels), or store them as float32 if they are "
                "measurements",
            )
    if log.actions.dtype.kind in "iub":
        yield Finding(
            "integer-actions",
            "warning",
            f"actions are {log.actions.dtype}",
            "the policy acts with continuous numbers in [-1, 1] and cannot learn discrete choices",
            "use a data set of continuous actions, or store the actions as float32 if they are quantities",
        )


def _shapes(log: Log) -> Iterator[Finding]:
    shapes = [("observations", log.observations, 2), ("actions", log.actions, 2)]
    shapes += [("rewards", log.rewards, 1), ("next observations", log.next_observations, 2)]
    for name, array, dimensions in shapes:
        if array is None:
            continue
        empty = dimensions == 2 and array.ndim == 2 and array.shape[1] == 0
        if array.dtype.kind not in "fiub" or array.ndim != dimensions or empty:
            yield Finding(
                "shape",
                "error",
                f"{name} must be numbers in {dimensions} dimension{'s' if dimensions > 1 else ''}, found "
                f"{array.dtype} of shape {array.shape}",
                "each transition needs its numbers in one row",
                REMEDY,
            )
    if log.observations.ndim == 2 and log.successors.ndim == 2:
        widths = log.observations.shape[1], log.successors.shape[1]
        if widths[0] != widths[1]:
            yield Finding(
                "shape",
                "error",
                f"observations have {widths[0]} numbers, but next observations have {widths[1]}",
                "they must be of the same kind",
                REMEDY,
            )
    for name, bound in (("action_low", log.action_low), ("action_high", log.action_high)):
        if bound is not None and bound.shape != log.actions.shape[1:]:
            yield Finding(
                "shape",
                "error",
                f"{name} has shape {bound.shape}, but one action has shape {log.actions.shape[1:]}",
                "every number of an action needs a bound",
                REMEDY,
            )


def _indices(log: Log) -> Iterator[Finding]:
    for name, index, table in (("s", log.index, log.observations), ("s'", log.next_index, log.successors)):
        beyond = np.flatnonzero((index < 0) | (index >= len(table)))
        if len(beyond):
            yield Finding(
                "index",
                "error",
                f"{len(beyond)} transitions point to an {name} outside the {len(table)} recorded observations",
                "the state is missing",
                "look for observations cut off at the end of the file",
                tuple(int(row) for row in log.rows[beyond[:SHOWN_ROWS]]),
                len(beyond),
            )
