"""Whether each next observation is the observation that follows, or at least one step away like the others."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.numerics import relative_entropy
from drol.doctor.regression import standardised, trained_errors
from drol.doctor.survey import Survey, subsample, take

TOLERANCE = 1e-5
"""Relative to the numbers' size: smaller differences are float32 rounding, not another state."""

ROWS = 3000
FEWEST = 50
"""The most rows in a regression, and the fewest that show what a step looks like."""

USUAL = 0.95
CHANCE = 1e-3
"""A number of the next observation is wrong if its prediction error exceeds that of nineteen steps in twenty in more of
these rows than chance explains."""

MOST = 0.5


def check_successors(survey: Survey) -> Iterator[Finding]:
    """Next observations that differ from the following observation of the same episode.

    Transitions that include their next observations may be in any order, and some may have been left out; such a
    difference is then an error only if these steps are unlike the others.
    """
    at = broken(survey)
    at = at[~survey.ends[at]]
    if not len(at):
        return
    most = len(at) > MOST * (~survey.ends).sum()
    if survey.log.next_observations is not None and (most or _steps_like_others(survey, at)):
        yield survey.finding(
            "row-order",
            "note",
            f"the next observation is not the following row's observation in {'most' if most else 'some'} rows: rows "
            f"are not in time order, some were left out, or ends are not marked",
            "each row includes its next observation, so transitions are right, but the next action is unknown there",
            "nothing to do, except for methods that need the next action (ReBRAC)",
            at,
        )
        return
    yield survey.finding(
        "successor",
        "error",
        "the next observation is not the following row's observation"
        + (" in most rows: is the data shuffled, or sampled sparsely?" if most else ", inside an episode"),
        "either the transition or the order of rows is wrong, and next actions are taken from the wrong state",
        "keep rows in the order in which they were recorded, and mark each end of an episode",
        at,
    )


def broken(survey: Survey) -> np.ndarray:
    """The transitions, at ends of episodes or not, whose s' is not the following transition's s."""
    log, wrong = survey.log, []
    for block in survey.blocks():
        at = np.arange(block.start, min(block.stop, len(log) - 1))
        if log.next_observations is None:
            at = at[log.next_index[at] != log.index[at + 1]]
        if len(at):
            following, stored = take(log.observations, log.index[at + 1]), survey.successors(at)
            size = np.maximum(np.abs(following), np.abs(stored))
            # NaN is never `>`, so it is not counted here; another check reports it.
            wrong.append(at[(np.abs(following - stored) > TOLERANCE * size + 1e-7).any(axis=1)])
    return np.concatenate(wrong) if wrong else np.empty(0, int)


def _steps_like_others(survey: Survey, at: np.ndarray) -> bool:
    """Whether the steps of these transitions are as predictable from state and action as those of the others."""
    others = survey.finite & ~survey.ends
    others[at] = False
    known = survey.sample(ROWS, 25, others)
    at = subsample(at[survey.finite[at]], ROWS, survey, 26)
    if len(known) < FEWEST or not len(at):
        return True
    both = np.concatenate([known, at])
    inputs = np.concatenate([survey.states(both), survey.actions(both)], axis=1)
    steps = standardised(survey.successors(both).astype(np.float64) - survey.states(both))
    known_errors, errors = trained_errors(inputs, steps, len(known))
    beyond = (errors > np.quantile(known_errors, USUAL, axis=0)).sum(axis=0)
    share = beyond / len(at)
    # Hoeffding's bound on the chance of so many misses, if one in twenty is expected.
    unlikely = len(at) * relative_entropy(share, 1 - USUAL) > np.log(steps.shape[1] / CHANCE)
    return not bool((unlikely & (share > MOST)).any())
