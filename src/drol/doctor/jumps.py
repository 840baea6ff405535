"""Steps inside an episode that are too large to be steps: unmarked ends, missing rows, portals, collisions."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.numerics import distances_to_others, relative_entropy
from drol.doctor.steps import Steps
from drol.doctor.survey import SAMPLE, Survey, subsample

PORTALS = 8
PORTAL_SPREAD = 0.3
"""An environment's own jumps, such as portals, leave from the same few places. With at least 8 jumps this is visible:
the distance to the nearest other departure is less than 0.3 of the same distance among as many random states."""

REGULAR = 6
REGULAR_SHARE = 0.5
"""Unmarked time limits, on the other hand, leave most jumps evenly spaced; with six or more, that cannot be chance."""

USUAL = 0.95
EXCEPTIONS = 0.1
FEW_NUMBERS = 3
"""A wall, a tossed object or a wrapped angle moves some numbers of the state; in at least nine of ten such rows, the
others move no more than in nineteen steps of twenty. A reset moves all of them."""

WALL = 0.01
WALL_CHANCE = 0.05
"""At a wall, one number is within a hundredth of its range from its least or greatest value whenever others jump; the
chance of that in random rows must be below one in twenty."""

START_SHARE = 0.75
START_SPREAD = 0.5
"""Unmarked ends are not portals, even if all episodes end at one goal: three quarters of their jumps lead to where
episodes start, closer than half the distance between random states."""

FAR = 8.0
EDGE = 5.0
"""The score of a whole step (`Steps.far`) is a mean of logarithms and is distributed roughly normally: 8 quartile
distances are 5.4 standard deviations. Sound logs of simulated robots reach 6.6 in 4,000 steps. If some steps
score beyond 8, steps that score at least half of their median, and at least 5, are jumps as well."""

VALLEY_CUTS = 48
VALLEY_CHANCE = 1e-7
VALLEY_SHARE = 0.4
VALLEY_EDGE = 2.5
"""If many steps are jumps, their scores form a second peak. In a sound log, the density of scores falls beyond the
first peak; an interval that holds significantly more steps than the equally long one before it (at a chance of 1e-7)
shows a second one. It must begin beyond a score that one step in twenty of a normal distribution exceeds, and at most
two steps in five may be jumps."""


def check_jumps(survey: Survey) -> Iterator[Finding]:
    """Steps inside an episode that are too large to be steps."""
    at = jumps(survey)
    if not len(at):
        return
    regular = len(at) >= REGULAR and evenly_spaced(at)
    if _own_jumps(survey, at):
        # A task that always ends at its goal looks the same if no end is marked.
        unmarked = not survey.ends[:-1].any()
        yield survey.finding(
            "portals",
            "warning" if unmarked else "note",
            "the state jumps, always from the same few places" + (", and no end is marked" if unmarked else ""),
            "environments with portals do this; if this one has none, these are ends of episodes that were not marked",
            "nothing to do if the environment has portals; otherwise mark these rows as ends",
            at,
        )
    elif not regular and len(moves_on := _moving_on(survey, at)):
        yield (
            _walls(survey, at)
            if _at_a_limit(survey, at, moves_on)
            else survey.finding(
                "partial-jump",
                "warning",
                "a few numbers of the state jump inside an episode, and the others move as usual",
                "a collision, a wrapped angle or a failing sensor does this; an unmarked end would move nearly all",
                "nothing to do if the system behaves like this; otherwise leave these rows out",
                at,
            )
        )
    else:
        yield survey.finding(
            "jump",
            "error",
            "the state jumps inside an episode, further than any step could take it"
            + (", at even intervals" if regular else ""),
            "no action led there: the end of an episode was not marked, or rows are missing",
            "mark these rows as ends of episodes (as truncated, if nothing ended the task there)",
            at,
        )


def jumps(survey: Survey) -> np.ndarray:
    """The transitions inside episodes that are too large to be steps, in order."""
    far = Steps(survey).far
    return np.flatnonzero(((survey.scores > 1) & ~survey.ends) | (far > _cut(far)))


def _cut(far: np.ndarray) -> float:
    """The score beyond which steps are jumps; infinite if none are."""
    scores = np.sort(far[np.isfinite(far)])
    if not len(scores):
        return np.inf
    valley = _valley(scores)
    if valley is not None:
        return valley
    beyond = scores[scores > FAR]
    return float(np.clip(np.median(beyond) / 2, EDGE, FAR)) if len(beyond) else np.inf


def _valley(scores: np.ndarray) -> float | None:
    """Where a second peak, that of jumps, begins in sorted scores; None if there is no such peak."""
    summit, top = scores[len(scores) // 2], scores[-1]
    best, place = VALLEY_CHANCE, None
    for cut in np.linspace(summit, top, VALLEY_CUTS + 2)[1:-1]:
        begin = int(np.searchsorted(scores, cut))
        above = len(scores) - begin
        if not 0 < above <= VALLEY_SHARE * len(scores):
            continue
        # On either side of the cut, look as far as half of the jumps reach.
        reach = scores[begin + above // 2] - cut
        if cut < VALLEY_EDGE or cut - reach < summit:
            continue
        below = begin - int(np.searchsorted(scores, cut - reach))
        chance = _falling(below, above // 2)
        if chance < best:
            best, place = chance, float(cut)
    return place


def _falling(below: int, above: int) -> float:
    """A bound on the chance that a falling density puts `above` points above and `below` below a cut (Hoeffding)."""
    total = below + above
    return float(np.exp(-total * relative_entropy(above / total, 0.5))) if above > below else 1.0


def _moving_on(survey: Survey, at: np.ndarray) -> np.ndarray:
    """The numbers of the state that move as usual; none unless at least half do (or one, of up to three)."""
    steps = Steps(survey)
    numbers = np.flatnonzero(np.isfinite(steps.typical))
    ordinary = np.setdiff1d(steps.sample, at)
    if len(numbers) < 2 or not len(ordinary):
        return numbers[:0]
    at = subsample(at, 2000, survey, 13)
    usual, found = (
        np.abs(survey.successors(rows)[:, numbers] - survey.states(rows)[:, numbers]) for rows in (ordinary, at)
    )
    moves_on = numbers[(found > np.quantile(usual, USUAL, axis=0)).mean(axis=0) <= EXCEPTIONS]
    return moves_on if len(moves_on) >= (len(numbers) / 2 if len(numbers) > FEW_NUMBERS else 1) else numbers[:0]


def _at_a_limit(survey: Survey, at: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether one of these numbers is at its least or greatest value in every such row, which cannot be chance."""
    states = survey.states(survey.sample(SAMPLE, 27))[:, numbers].astype(np.float64)
    arrivals = survey.successors(subsample(at, 2000, survey, 13))[:, numbers].astype(np.float64)
    low, high = (pick(np.vstack([states, arrivals]), axis=0) for pick in (np.min, np.max))
    margin = WALL * (high - low)
    for near_known, near in (
        (states <= low + margin, arrivals <= low + margin),
        (states >= high - margin, arrivals >= high - margin),
    ):
        # The chance that all rows are at a limit, for any of the numbers and either limit.
        chance = 2 * len(numbers) * near_known.mean(axis=0) ** len(arrivals)
        if (near.all(axis=0) & (chance < WALL_CHANCE)).any():
            return True
    return False


def _walls(survey: Survey, at: np.ndarray) -> Finding:
    return survey.finding(
        "wall",
        "note",
        "a few numbers of the state jump where another is at its limit, and the others move as usual",
        "a system that hits a wall or the stop of a joint does this",
        "nothing to do if there is a wall",
        at,
    )


def _own_jumps(survey: Survey, at: np.ndarray) -> bool:
    """Whether jumps belong to the environment: from a few places, unevenly spaced, and not to where episodes start."""
    if len(at) < PORTALS or evenly_spaced(at):
        return False
    at = subsample(at, 500, survey, 3)
    steps = np.abs(survey.successors(at) - survey.states(at))
    jumping = (steps > survey.limits).mean(axis=0) > REGULAR_SHARE
    if not jumping.any():
        return False
    ordinary = survey.sample(len(at), 4, ~survey.ends)
    departures, states = survey.states(at)[:, jumping], survey.states(ordinary)[:, jumping]
    return _nearest(departures) < PORTAL_SPREAD * _nearest(states) and not _lead_to_starts(survey, at, jumping)


def _lead_to_starts(survey: Survey, at: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether most jumps lead to where episodes start."""
    arrivals = survey.successors(at)[:, numbers].astype(np.float64)
    starts = survey.states(subsample(survey.first, 500, survey, 14))[:, numbers].astype(np.float64)
    away = np.linalg.norm(arrivals[:, None] - starts, axis=2).min(axis=1)
    states = survey.states(survey.sample(len(at), 4, ~survey.ends))[:, numbers].astype(np.float64)
    random = np.linalg.norm(states - states[survey.generator(15).permutation(len(states))], axis=1)
    return float(np.quantile(away, START_SHARE)) < START_SPREAD * float(np.median(random))


def evenly_spaced(at: np.ndarray) -> bool:
    """Whether most jumps, and at least two, are the same number of rows apart."""
    gaps, counts = np.unique(np.diff(at), return_counts=True)
    return len(at) > 2 and bool(gaps[counts.argmax()] > 1 and counts.max() > REGULAR_SHARE * (len(at) - 1))


def _nearest(points: np.ndarray) -> float:
    """The median distance from a point to its nearest neighbour."""
    distances = distances_to_others(points.astype(np.float64))
    return float(np.sqrt(np.maximum(np.median(distances.min(axis=1)), 0)))
