"""Whether each action belongs to the step of its own row.

A step says much about the action that caused it. So a regression predicts each action from the states before and after
its own step, and from those of the row before and of the row after. Actions belong where they are predicted best.
"""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.regression import Comparison, smooth_errors, standardised
from drol.doctor.survey import Survey

ROWS = 2400
"""Rows of a regression."""

FEWEST = 200
GROUP = 25
"""Successive rows are similar; errors are taken to be independent between stretches of 25 rows."""

BEFORE_RATIO = 0.9
AFTER_RATIO = 0.6
SIGMA = 6.0
"""The part of the squared error that another row's step must leave at most, and by how many standard errors. In sound
logs, the row before always leaves more than the action's own row. The row after may leave less, because an action
depends on the state it is taken in and, if actions are smooth, resembles the one before: sound logs of simulated robots
give 0.88 or more."""


def check_alignment(survey: Survey) -> Iterator[Finding]:
    """Actions that belong to the row before or after, or rows in reverse order."""
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
        result = Comparison.of(errors[0], errors[shift], groups, floor)
        if result.ratio < limit and result.sigma > SIGMA:
            late = shift < 0
            reverse = " or rows are in reverse order" if late and log.next_observations is None else ""
            yield survey.finding(
                "action-shift",
                "error",
                f"actions fit the step of the row {'before' if late else 'after'} much better than that of their own "
                f"row (with {100 * result.ratio:.0f} % of the error): they are a row too "
                f"{'late' if late else 'early'},{reverse or ' or states a row too ' + ('early' if late else 'late')}",
                "every step is credited to the wrong action",
                f"store the action taken in s_t in row t: move the column one row {'up' if late else 'down'}, within "
                f"each episode" + (", or restore the order of rows" if reverse else ""),
                at,
            )
            return


def _rows(survey: Survey) -> np.ndarray:
    """Some transitions with another of the same episode before and after them, all finite."""
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
