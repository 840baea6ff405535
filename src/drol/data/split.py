"""Splits a log into episodes for training and episodes for validation."""

import dataclasses

import numpy as np

from drol.data.log import Log

MIN_EPISODES = 20
"""With fewer, no episode can be spared for validation."""

HELD_OUT = 20
"""One episode in this many is held out for validation."""


def hold_out(log: Log) -> tuple[Log, Log | None]:
    """Split off every twentieth episode for validation; logs of fewer than 20 episodes are left whole.

    Returns:
        The log to train on, and the held-out one.
    """
    episode = np.concatenate([[0], np.cumsum(log.ends[:-1])])
    if episode[-1] + 1 < MIN_EPISODES:
        return log, None
    held_out = episode % HELD_OUT == HELD_OUT - 1
    return _select(log, ~held_out), _select(log, held_out)


def _select(log: Log, chosen: np.ndarray) -> Log:
    names = ("actions", "rewards", "terminated", "truncated", "ends", "index", "next_index", "rows")
    columns = {name: getattr(log, name) for name in names}
    return dataclasses.replace(log, **{n: None if column is None else column[chosen] for n, column in columns.items()})
