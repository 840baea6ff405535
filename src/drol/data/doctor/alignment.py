"""Whether each action belongs to the step of its own row.

A step tells much about the action that caused it. So each action is predicted, by a regression, from its state and
successor, and from the state and successor of the row before and of the row after; rows whose step tells most are those
the action belongs to.
"""

from collections.abc import Iterator

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.regression import Comparison, smooth_errors, standardised
from drol.data.doctor.survey import Survey

ROWS = 2400
"""Rows of a regression."""

FEWEST = 200
GROUP = 25
"""Rows that follow one another are alike; errors are taken to be independent between stretches of 25."""

BEFORE_RATIO = 0.9
AFTER_RATIO = 0.6
SIGMA = 6.0
"""How much less of the squared error another row's step must leave, and by how many standard errors. In sound logs the
row before leaves more than the own one, always. The row after may leave less: an action is a function of the state it
was taken in, and where actions are smooth, one says much about the one before. There 0.88 is the least that sound logs
of simulated robots give."""


def check_alignment(survey: Survey) -> Iterator[Finding]:
    """Actions that belong to the row before or after, or rows in reverse."""
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
            reverse = " or rows stand in reverse" if late and log.next_observations is None else ""
            yield Finding(
                "action-shift",
                "error",
                f"actions fit the step of the row {'before' if late else 'after'} much better than that of their own "
                f"(they leave {100 * result.ratio:.0f} % of the error): they stand a row too "
                f"{'late' if late else 'early'},{reverse or ' or states do'}",
                "every step is credited to the wrong action",
                f"store the action taken in s_t in row t: move the column one row {'up' if late else 'down'}, within "
                f"each episode" + (", or restore the order of rows" if reverse else ""),
                survey.rows(at),
                len(at),
            )
            return


def _rows(survey: Survey) -> np.ndarray:
    """Some transitions with one of the same episode before and behind, all finite."""
    inner = np.zeros(len(survey.log), bool)
    good = survey.finite & ~survey.ends
    inner[1:-1] = good[1:-1] & good[:-2] & survey.finite[2:]
    # The last transition of an episode is one like the others, unless its successor is unknown.
    inner[1:-1] &= ~survey.ends[2:]
    return survey.sample(ROWS, 24, inner)


def _step(survey: Survey, at: np.ndarray) -> np.ndarray:
    """(n, 2 x observation) states and how far they go."""
    states, successors = survey.states(at).astype(np.float64), survey.successors(at).astype(np.float64)
    return np.concatenate([states, successors, successors - states], axis=1)
