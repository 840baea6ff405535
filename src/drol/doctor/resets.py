"""Numbers that are constant within an episode, such as a goal or an object's place, and change at its unmarked end."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.jumps import evenly_spaced
from drol.doctor.survey import SAMPLE, Survey

RARE = 0.2
"""Such numbers change in fewer than one step in five; episodes have five steps or more."""

FEWEST = 6
"""With this many changes, even spacing cannot be chance."""

AS_RANDOM = 0.5
"""A newly drawn goal is as far from the old one as random rows are from each other; a sensor that is read at a lower
rate moves less than half as far."""


def check_resets(survey: Survey) -> Iterator[Finding]:
    """Numbers that rarely change, and then change all at once, far, and at even intervals."""
    at = _redrawn(survey)
    if len(at) >= FEWEST and evenly_spaced(at):
        yield survey.finding(
            "regular-changes",
            "warning",
            "numbers that are otherwise constant change all at once, and far, at even intervals",
            "a goal that is drawn for each episode does this: if these are ends that were not marked, transitions lead "
            "from one episode into the next",
            "mark these rows as ends of episodes (as truncated), unless the environment changes the goal mid-episode",
            at,
        )


def _redrawn(survey: Survey) -> np.ndarray:
    """The steps inside episodes at which all the rarely changing numbers change."""
    inside = survey.finite & ~survey.ends
    sample = survey.sample(SAMPLE, 28, inside)
    none = np.empty(0, int)
    if not len(sample):
        return none
    states = survey.states(sample)
    share = (states != survey.successors(sample)).mean(axis=0)
    numbers = np.flatnonzero((share > 0) & (share < RARE))
    if not len(numbers):
        return none
    changes = np.zeros(len(survey.log), bool)
    for block in survey.blocks():
        changes[block] = (survey.states(block)[:, numbers] != survey.successors(block)[:, numbers]).all(axis=1)
    at = np.flatnonzero(changes & inside)
    if not len(at):
        return none
    values = states[:, numbers].astype(np.float64)
    usual = np.median(np.abs(values - values[survey.generator(29).permutation(len(values))]), axis=0)
    moved = np.abs(survey.successors(at)[:, numbers].astype(np.float64) - survey.states(at)[:, numbers])
    return at if (np.median(moved, axis=0) >= AS_RANDOM * usual).all() else none
