"""Whether each action belongs to the step of its own row.

A step reveals much about the action that caused it. So regressions predict each action from the states before and after
its own step, and from those of the previous and of the next row. Actions belong to the row that predicts them best.
"""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.regression import ErrorComparison, smooth_errors, standardised
from drol.doctor.survey import Survey

ROWS = 2400
"""The most rows in a regression."""

FEWEST = 200
GROUP = 25
"""Successive rows are similar; errors are assumed independent between stretches of 25 rows."""

BEFORE_RATIO = 0.9
AFTER_RATIO = 0.6
SIGMA = 6.0
"""A shift is reported if another row's step leaves less than this part of the squared error, by this many standard
errors. In sound logs, the previous row always leaves more error than the action's own row. The next row may leave less,
because an action depends on the state it is taken in and, if actions are smooth, resembles the one before: sound logs
of simulated robots give 0.88 or more."""


def check_alignment(survey: Survey) -> Iterator[Finding]:
    """Actions that belong to the previous or the next row, or rows in reverse order."""
    log = survey.log
    at = _rows(survey)
    if len(at) < FEWEST:
        return
    actions = standardised(survey.actions(at))
    if not actions.shape[1]:
        return
    groups = at // GROUP
    errors = {shift: smooth_errors(_step(survey, at + shift), actions, groups) for shift in (0, -1, 1)}
    floor = 1e-9 * actions.size
    for shift, limit in ((-1, BEFORE_RATIO), (1, AFTER_RATIO)):
        if errors[shift].sum() > errors[-shift].sum():
            continue
        result = ErrorComparison.of(errors[0], errors[shift], groups, floor)
        if result.ratio < limit and result.sigma > SIGMA:
            late = shift < 0
            reverse = " or rows are in reverse order" if late and log.next_observations is None else ""
            yield survey.finding(
                "action-shift",
                "error",
                f"actions fit the step of the {'previous' if late else 'next'} row much better than that of their own "
                f"row (with {100 * result.ratio:.0f} % of the error): they are one row too "
                f"{'late' if late else 'early'},{reverse or ' or states are one too ' + ('early' if late else 'late')}",
                "every step is credited to the wrong action",
                f"store the action taken in s_t in row t: move the column one row {'up' if late else 'down'}, within "
                f"each episode" + (", or restore the order of rows" if reverse else ""),
                at,
            )
            return


def _rows(survey: Survey) -> np.ndarray:
    """A sample of transitions that have another of the same episode before and after them, all finite."""
    inner = np.zeros(len(survey.log), bool)
    good = survey.finite & ~survey.ends
    inner[1:-1] = good[1:-1] & good[:-2] & survey.finite[2:]
    # The row after must not be the last of an episode, whose successor may be unknown.
    inner[1:-1] &= ~survey.ends[2:]
    return survey.sample(ROWS, 24, inner)


def _step(survey: Survey, at: np.ndarray) -> np.ndarray:
    """(n, 3 x observation) states, successors and their differences."""
    states, successors = survey.states(at).astype(np.float64), survey.successors(at).astype(np.float64)
    return np.concatenate([states, successors, successors - states], axis=1)
