"""A loaded data set: training and validation transitions, and the user's units."""

import dataclasses
from typing import Any

from drol.data.transitions import Transitions
from drol.types import Units


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set ready for training.

    Attributes:
        train: transitions to learn from.
        validation: held-out transitions, or None if there are none.
        source: where they came from, for the run's record: `kind`, and `files` with name, bytes and SHA-256 each.
        units: converts between the user's units and those of `train`; None if they are the same.
        notes: what the reader assumed or left out, in sentences for the user.
    """

    train: Transitions
    validation: Transitions | None
    source: dict[str, Any]
    units: Units | None = None
    notes: tuple[str, ...] = ()
