"""Other rewards for the same data."""

import dataclasses

import numpy as np

from drol.data.dataset import Dataset
from drol.data.transitions import Transitions
from drol.errors import DataError, both

MANIPULATION = ("cube-", "scene-", "puzzle-")
"""The beginnings of tasks whose reward is minus the number of parts that are not done."""


def sparse(data: Dataset, task: str) -> Dataset:
    """The same data with a reward of 0 where everything is done, and -1 elsewhere.

    Raises:
        DataError: if the task is none of OGBench's manipulation tasks.
    """
    if not task.startswith(MANIPULATION):
        raise DataError(
            *both(
                f"--sparse-rewards is for OGBench's manipulation tasks, whose rewards count what is not done; the "
                f"rewards of {task} stay as they are: leave it out"
            )
        )
    validation = None if data.validation is None else _sparse(data.validation)
    return dataclasses.replace(data, train=_sparse(data.train), validation=validation)


def _sparse(transitions: Transitions) -> Transitions:
    return dataclasses.replace(transitions, rewards=-(transitions.rewards != 0).astype(np.float32))
