"""Whether rewards belong to the state before the step, after it, or to another row.

Each hypothesis names the states that determine a reward. For each, a regression on those states predicts held-out
rewards; a hypothesis whose error is clearly smaller is taken to be right.
"""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.regression import FOLDS, ErrorComparison, penalty, ridge, smooth_errors, standardised
from drol.doctor.survey import Survey, is_finite, subsample

SPARSE = 0.2
"""If rewards change in fewer than a fifth of the steps, hypotheses are compared near the changes, where they differ."""

WINDOW = 3
"""Rows to look at on either side of a change: a few are enough, and more would hide it."""

EVENTS = 10
"""With fewer changes (or groups of rows), nothing can be said."""

ROWS = 3000
"""The most rows in a regression, which then takes tenths of a second."""

ROWS_PER_FEATURE = 10
NEWTON_STEPS = 7

FURTHEST = 3
"""The largest shift of rewards, in rows, that is considered."""

FEWEST_FAR = 300
"""Shifts beyond one row are considered if this many rows have `FURTHEST` others of their episode on either side."""

SHIFT_RATIO = 0.7
SHIFT_SIGMA = 4.0
"""A shift is reported only if it leaves at most 70 % of the squared error, by four standard errors over groups of rows.
Clean data give 90 % and more: the reward's own state is in both models, so their errors are similar."""

CONVENTION_RATIO = 0.9
CONVENTION_SIGMA = 3.0
"""A convention is only noted, so less evidence is enough."""

LAST_SHARE = 0.8
"""Rewards are rolled across episodes if at least this share of the episodes that follow a true end start with the same
reward, at least this share of its occurrences are at starts, and at most one minus this share of the ends have it."""


def check_timing(survey: Survey) -> Iterator[Finding]:
    """The convention that rewards follow, or the number of rows by which they are shifted."""
    rewards = survey.log.rewards
    if rewards is None or not survey.finite.any():
        return
    rolled = _rolled(survey)
    if len(rolled):
        yield _shifted(1, "the first reward of an episode is the one that ended the previous episode", survey, rolled)
        return
    at, labels, groups = _informative(survey)
    shift = _shift(survey, at, labels, groups)
    if shift:
        yield _shifted(shift, "rewards fit the states of another row much better than those of their own", survey, at)
        return
    convention = _convention(survey, at, labels, groups)
    if convention is not None:
        yield Finding(
            "reward-timing",
            "note",
            f"rewards fit the state {'before' if convention == 0 else 'after'} the step"
            + (", as in OGBench since 1.2" if convention == 0 else ", as in most environments"),
            "an evaluation that judges success by the other state counts one step more or less",
            "nothing to do",
        )


def _shifted(shift: int, evidence: str, survey: Survey, at: np.ndarray) -> Finding:
    late = shift > 0
    rows = "one row" if abs(shift) == 1 else f"{abs(shift)} rows"
    return survey.finding(
        "reward-shift",
        "error",
        f"rewards are {rows} too {'late' if late else 'early'}: {evidence}",
        "every reward is credited to the wrong action",
        f"store the reward of step t in row t: move the column {rows} {'up' if late else 'down'}, within each episode",
        at,
    )


def _rolled(survey: Survey) -> np.ndarray:
    """First rows of episodes that carry the final reward of the previous episode."""
    rewards, last = survey.rewards(slice(None)), survey.last[:-1]
    # In an episode of one step, the only row is both first and last.
    last = last[np.asarray(survey.log.terminated, bool)[last] & (survey.lengths[:-1] > 1)]
    if len(last) < EVENTS:
        return np.empty(0, int)
    values, counts = np.unique(rewards[last + 1], return_counts=True)
    value = values[counts.argmax()]
    after = last[rewards[last + 1] == value] + 1
    starts = np.isin(np.flatnonzero(rewards == value), survey.first)
    own = len(after) >= LAST_SHARE * len(last) and starts.mean() >= LAST_SHARE
    return after if own and (rewards[last] == value).mean() <= 1 - LAST_SHARE else np.empty(0, int)


def _informative(survey: Survey) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transitions at which hypotheses differ, the numbers to predict there, and the group (event) of each."""
    rewards, count = survey.rewards(slice(None)), len(survey.log)
    change = np.flatnonzero((rewards[1:] != rewards[:-1]) & ~survey.ends[:-1]) + 1
    if len(change) > SPARSE * count:
        at = survey.sample(ROWS, 7)
        return at, rewards[at], survey.episode[at] if len(survey.last) >= EVENTS else np.arange(len(at)) // 50
    events = subsample(change, ROWS // (2 * WINDOW), survey, 8)
    if len(events) < EVENTS:
        none = np.empty(0, int)
        return none, none, none
    at = np.clip(events[:, None] + np.arange(-WINDOW, WINDOW), 0, count - 1)
    inside = survey.episode[at] == survey.episode[events][:, None]
    groups = np.broadcast_to(np.arange(len(events))[:, None], at.shape)
    at, groups = at[inside], groups[inside]
    # Rows between two changes are in both windows.
    at, firsts = np.unique(at, return_index=True)
    keep = survey.finite[at]
    threshold = _threshold(rewards, change)
    return at[keep], (rewards[at[keep]] > threshold).astype(np.float64), groups[firsts][keep]


def _threshold(rewards: np.ndarray, change: np.ndarray) -> float:
    """The middle of the most frequent change: what lies above it is the event to predict."""
    middles, counts = np.unique((rewards[change] + rewards[change - 1]) / 2, return_counts=True)
    return float(middles[counts.argmax()])


def _shift(survey: Survey, at: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> int:
    """By how many rows rewards are late (early if negative); 0 if neither is clear."""
    if len(at) and set(np.unique(labels)) <= {0.0, 1.0}:
        return _shift_of_events(survey, at, labels, groups)
    near = np.flatnonzero(_with_neighbours(survey, at, FURTHEST))
    reach = FURTHEST if len(near) >= FEWEST_FAR else 1
    there = near if reach > 1 else np.flatnonzero(_with_neighbours(survey, at, 1))
    at, labels, groups = at[there], labels[there], groups[there]
    if len(np.unique(groups)) < EVENTS or not labels.std() > 0 or not is_finite(labels).all():
        return 0
    labels = ((labels - labels.mean()) / labels.std())[:, None]
    floor = 1e-9 * len(labels)
    places = range(-reach, reach + 1)
    steps = {k: smooth_errors(_transition(survey, at + k), labels, groups) for k in places}
    best = min(places, key=lambda k: steps[k].sum())
    if best and _clear(ErrorComparison.of(steps[0], steps[best], groups, floor)):
        return -best
    # The reward as a function of a single state, before the step or after it.
    places = range(-reach, reach + 2)
    states = {k: smooth_errors(_state(survey, at, k), labels, groups) for k in places}
    best = min(places, key=lambda k: states[k].sum())
    own = states[0] if states[0].sum() < states[1].sum() else states[1]
    if best in (0, 1) or not _clear(ErrorComparison.of(own, states[best], groups, floor)):
        return 0
    return -best if best < 0 else 1 - best


def _clear(result: ErrorComparison | None) -> bool:
    return result is not None and result.ratio < SHIFT_RATIO and result.sigma > SHIFT_SIGMA


def _with_neighbours(survey: Survey, at: np.ndarray, reach: int) -> np.ndarray:
    """(n,) whether `reach` transitions on either side belong to the same episode and are finite."""
    good = (at >= reach) & (at < len(survey.log) - reach)
    for shift in range(-reach, reach + 1):
        other = np.clip(at + shift, 0, len(survey.log) - 1)
        good &= (survey.episode[other] == survey.episode[at]) & survey.finite[other]
    return good


def _state(survey: Survey, at: np.ndarray, shift: int) -> np.ndarray:
    """The states `shift` rows later."""
    return survey.successors(at + shift - 1) if shift > 0 else survey.states(at + shift)


def _shift_of_events(survey: Survey, at: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> int:
    """The same for rewards that rarely change, judged near their changes."""
    best, found = SHIFT_RATIO, 0
    for shift in (1, -1, *range(2, FURTHEST + 1), *range(-2, -FURTHEST - 1, -1)):
        neighbours = np.clip(at - shift, 0, len(survey.log) - 1)
        there = (neighbours == at - shift) & (survey.episode[neighbours] == survey.episode[at])
        there &= survey.finite[neighbours]
        own, other = at[there], neighbours[there]
        result = _compare(_transition(survey, own), _transition(survey, other), labels[there], groups[there])
        if result is not None and _clear(result) and result.ratio < best:
            best, found = result.ratio, shift
    return found


def _convention(survey: Survey, at: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> int | None:
    """0 if rewards fit the state before the step, 1 if they fit the state after it, None if neither is clear."""
    result = _compare(survey.states(at), survey.successors(at), labels, groups)
    if result is None:
        return None
    if result.ratio < CONVENTION_RATIO and result.sigma > CONVENTION_SIGMA:
        return 1
    return 0 if result.ratio > 1 / CONVENTION_RATIO and result.sigma < -CONVENTION_SIGMA else None


def _transition(survey: Survey, at: np.ndarray) -> np.ndarray:
    """(s, a, s') of transitions, concatenated."""
    return np.concatenate([survey.states(at), survey.actions(at), survey.successors(at)], axis=1)


def _compare(one: np.ndarray, other: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> ErrorComparison | None:
    """How well two sets of numbers predict the labels; None if too little is known."""
    if len(np.unique(groups)) < EVENTS or not labels.std() > 0 or not is_finite(labels).all():
        return None
    first, second = (_errors(_features(values), labels, groups) for values in (one, other))
    return ErrorComparison.of(first, second, groups, 1e-9 * labels.var() * len(labels))


def _features(values: np.ndarray) -> np.ndarray:
    """Standardised numbers that vary, and their squares; float64."""
    values = standardised(values)
    squares = values**2
    return np.concatenate([values, squares - squares.mean(axis=0)], axis=1)


def _errors(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Squared errors of predictions for rows whose group the regression has not seen."""
    folds = np.unique(groups, return_inverse=True)[1] % FOLDS
    errors = np.empty(len(labels))
    for fold in range(FOLDS):
        held = folds == fold
        errors[held] = (_predict(features[~held], labels[~held], features[held]) - labels[held]) ** 2
    return errors


def _predict(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Ridge regression on the numbers most correlated with the labels; logistic if the labels are 0 and 1."""
    chosen = np.argsort(-np.abs((labels - labels.mean()) @ known))[: max(1, len(known) // ROWS_PER_FEATURE)]
    known, asked = (np.column_stack([np.ones(len(rows)), rows[:, chosen]]) for rows in (known, asked))
    if not set(np.unique(labels)) <= {0.0, 1.0}:
        return np.clip(asked @ ridge(known, labels), labels.min(), labels.max())
    weights, added = np.zeros(known.shape[1]), penalty(known)
    for _ in range(NEWTON_STEPS):
        chance = _logistic(known @ weights)
        curvature = (known * (chance * (1 - chance) + 1e-3)[:, None]).T @ known + added
        weights += np.linalg.solve(curvature, known.T @ (labels - chance) - added @ weights)
    return _logistic(asked @ weights)


def _logistic(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))
