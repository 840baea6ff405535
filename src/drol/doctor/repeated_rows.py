"""Rows that were recorded more than once: nothing moves, although the action is not zero."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.actions import bounds
from drol.doctor.findings import Finding
from drol.doctor.survey import Survey

REST = 0.01
"""An action counts as zero if it is within a hundredth of half its range from zero."""

SHARE = 0.01
FEWEST = 10
FEWEST_RUNS = 3
"""Repeated rows are reported if they are at least one transition in a hundred, and at least ten, in three places."""

LONG = 5
"""Longer runs are not repeated rows but a system at rest, unless they end episodes: then they may be padding."""

ONCE = 0.5
"""A wall, a stop or a coarse sensor shows the same state again and again. Rows that were recorded twice are mostly in
states that the log visits at no other time."""

PARTLY = 0.5
"""A coarse sensor's numbers rest one by one. If rows are repeated, all numbers rest at once: when a moving number
rests, in more than half of the cases all others rest as well."""

MOVING = 0.5
"""A number that moves in less than half as many steps as the busiest one (a contact, say) says nothing."""

REGULAR = 0.9
"""Repetitions are regular if nine in ten states are recorded the same number of times in a row."""


def check_stillness(survey: Survey) -> Iterator[Finding]:
    """States recorded twice or more in a row."""
    still, acting = stillness(survey)
    if not still.any():
        return
    at = np.flatnonzero(still & acting)
    inside = int((~survey.ends & survey.finite).sum())
    if len(at) < max(FEWEST, SHARE * inside):
        return
    first, length = _runs(at)
    if len(first) < FEWEST_RUNS or not _unique(survey, first):
        return
    padding = bool(np.median(length) > LONG)
    if padding and survey.ends[np.minimum(first + length, len(survey.log) - 1)].mean() < REGULAR:
        return
    times, regular = _regularity(survey, still)
    how = f"each state is recorded {times} times" if times != 2 else "each state is recorded twice"
    where = "at the ends of episodes" if padding else how if regular else "here and there"
    yield survey.finding(
        "repeated-rows",
        "warning",
        f"in {100 * len(at) / inside:.1f} % of the transitions nothing moves, although the action is not zero: {where}",
        "the data say that actions have no effect there, and one step of the policy is not one step of the data",
        "remove the padding, unless the system was at rest there"
        if padding
        else "keep one row of each state (the recording ran faster than the sensors, or rows were copied)",
        at,
    )


def stillness(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """(T,) whether s' equals s inside an episode, all numbers at once; (T,) whether the action is not zero."""
    low, high = bounds(survey)
    count = len(survey.log)
    still, acting = np.zeros(count, bool), np.zeros(count, bool)
    moves, partly = np.zeros(survey.width), np.zeros(survey.width)
    for block in survey.blocks():
        same = survey.states(block) == survey.successors(block)
        use = ~survey.ends[block] & survey.finite[block]
        whole = same.all(axis=1) & use
        still[block] = whole
        moves += (~same & use[:, None]).sum(axis=0)
        partly += (same & use[:, None] & ~whole[:, None]).sum(axis=0)
        size = np.abs(survey.actions(block))
        acting[block] = (size > REST * np.where(high > low, high - low, 1) / 2).any(axis=1)
    moving = moves > MOVING * moves.max(initial=0)
    together = np.full(survey.width, still.sum())
    alone = (partly > (1 / PARTLY - 1) * together) & moving
    if not moving.any() or alone.sum() > 0.5 * moving.sum():
        return np.zeros(count, bool), acting
    return still, acting


def _runs(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first transition of each run of consecutive ones in `at`, and the run's length."""
    begins = np.flatnonzero(np.append(True, np.diff(at) > 1))
    return at[begins], np.diff(np.append(begins, len(at)))


def _unique(survey: Survey, first: np.ndarray) -> bool:
    """Whether most runs begin in a state in which no other run begins."""
    states = survey.states(first[np.linspace(0, len(first) - 1, min(len(first), 5000)).astype(int)])
    _, counts = np.unique(states, axis=0, return_counts=True)
    return float((counts == 1).sum()) > ONCE * len(states)


def _regularity(survey: Survey, still: np.ndarray) -> tuple[int, bool]:
    """How many times in a row most states are recorded, and whether this holds for nearly all of them."""
    begins = np.flatnonzero(~np.append(False, still[:-1]))
    lengths = np.diff(np.append(begins, len(still)))
    values, counts = np.unique(lengths, return_counts=True)
    most = int(counts.argmax())
    return int(values[most]), bool(values[most] > 1 and counts[most] >= REGULAR * counts.sum())
