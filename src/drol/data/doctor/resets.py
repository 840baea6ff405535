"""Numbers that rest within an episode, a goal or an object's place, and change at its unmarked end."""

from collections.abc import Iterator

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.jumps import evenly_spaced
from drol.data.doctor.survey import SAMPLE, Survey

RARE = 0.2
"""A number that changes in fewer than one step in five rests otherwise; episodes of five steps or more."""

FEWEST = 6
"""Changes from which even spacing cannot be chance."""

AS_RANDOM = 0.5
"""A goal that is drawn anew goes as far as from one random row to another; a sensor that is read at a lower rate moves
less than half as far."""


def check_resets(survey: Survey) -> Iterator[Finding]:
    """Numbers that change all at once, as far as they ever do, in even intervals."""
    at = _drawn_anew(survey)
    if len(at) >= FEWEST and evenly_spaced(at):
        yield Finding(
            "regular-changes",
            "warning",
            "numbers that rest otherwise change at once, and far, in even intervals",
            "a goal that is drawn for each episode does so: if these ends were not marked, transitions lead from "
            "one episode into the next",
            "mark these rows as ends of episodes (as truncated), unless the environment draws a new goal on its way",
            survey.rows(at),
            len(at),
        )


def _drawn_anew(survey: Survey) -> np.ndarray:
    """The steps inside episodes at which every number that mostly rests changes."""
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
