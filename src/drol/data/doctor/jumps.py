"""Steps inside an episode that are too large to be steps: unmarked ends, rows that are missing, portals, collisions."""

from collections.abc import Iterator

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.steps import Steps
from drol.data.doctor.survey import SAMPLE, Survey, subsample

PORTALS = 8
PORTAL_SPREAD = 0.3
"""Jumps of an environment's own, such as portals, leave from the same few places. At least 8 jumps are needed to tell;
the nearest other departure then is at less than 0.3 of the distance between as many states drawn at random."""

REGULAR = 6
REGULAR_SHARE = 0.5
"""Forgotten time limits, on the other hand, leave most jumps evenly spaced; six or more then cannot be chance."""

USUAL = 0.95
EXCEPTIONS = 0.1
FEW_NUMBERS = 3
"""A wall, a tossed object or a wrapped angle moves some numbers of the state, and the others keep within what nineteen
steps in twenty do: at nine of ten such rows, or more. A reset moves any of them."""

WALL = 0.01
WALL_CHANCE = 0.05
"""At a wall, one number is within a hundredth of its range of the least or greatest value whenever others jump; in rows
drawn at random, that must have a chance below one in twenty."""

START_SHARE = 0.75
START_SPREAD = 0.5
"""Unmarked ends are no portals, even if all episodes end at one goal: three quarters of their jumps lead to where
episodes start, nearer than half of the distance of random states."""

FAR = 8.0
EDGE = 5.0
"""The score of a step as a whole (`Steps.far`) is a mean of logarithms and spreads about as a normal distribution does:
8 quartile distances are 5.4 standard deviations. Sound logs of simulated robots reach 6.6 in 4,000 steps. Where such
jumps are, those that go half as far as they usually do belong to them, if beyond 5."""

VALLEY_CUTS = 48
VALLEY_CHANCE = 1e-7
VALLEY_SHARE = 0.4
VALLEY_EDGE = 2.5
"""Where many steps are jumps, their scores form a hill of their own. Beyond its summit the density of ordinary steps
falls; that an interval holds significantly more steps than the equally long one before it, at a chance of 1e-7 for any
of the places looked at, cannot be a sound log's. The hill begins beyond what a normal distribution's twentieth largest
steps reach, and at most two steps in five may be jumps."""


def check_jumps(survey: Survey) -> Iterator[Finding]:
    """Steps inside an episode that are too large to be steps."""
    at = jumps(survey)
    if not len(at):
        return
    regular = len(at) >= REGULAR and evenly_spaced(at)
    if _own_jumps(survey, at):
        # A task that always ends at its goal looks the same, if no end is marked at all.
        unmarked = not survey.ends[:-1].any()
        yield Finding(
            "portals",
            "warning" if unmarked else "note",
            "the state jumps, always from the same few places" + (", and no end is marked" if unmarked else ""),
            "an environment with portals does so; if it has none, these are ends of episodes that were not marked",
            "nothing to do if the environment jumps; otherwise mark them as ends",
            survey.rows(at),
            len(at),
        )
    elif not regular and len(moves_on := _moving_on(survey, at)):
        yield (
            _walls(survey, at)
            if _at_a_limit(survey, at, moves_on)
            else Finding(
                "partial-jump",
                "warning",
                "a few numbers of the state jump inside an episode, and the rest moves on as usual",
                "a collision, an angle that wraps or a sensor's failure does so; an unmarked end would move nearly all",
                "nothing to do if the system behaves so; otherwise leave these rows out",
                survey.rows(at),
                len(at),
            )
        )
    else:
        yield Finding(
            "jump",
            "error",
            "the state jumps inside an episode, further than any step could be"
            + (", in even intervals" if regular else ""),
            "no action led there: an end of an episode was not marked, or rows are missing",
            "mark these rows as ends of episodes (as truncated, if nothing ended the task there)",
            survey.rows(at),
            len(at),
        )


def jumps(survey: Survey) -> np.ndarray:
    """The transitions inside episodes that are no steps, in order."""
    far = Steps(survey).far
    return np.flatnonzero(((survey.scores > 1) & ~survey.ends) | (far > _cut(far)))


def _cut(far: np.ndarray) -> float:
    """The score beyond which steps are jumps; infinite where none are."""
    scores = np.sort(far[np.isfinite(far)])
    if not len(scores):
        return np.inf
    valley = _valley(scores)
    if valley is not None:
        return valley
    beyond = scores[scores > FAR]
    return float(np.clip(np.median(beyond) / 2, EDGE, FAR)) if len(beyond) else np.inf


def _valley(scores: np.ndarray) -> float | None:
    """Where a hill of jumps begins in sorted scores; None without one."""
    summit, top = scores[len(scores) // 2], scores[-1]
    best, place = VALLEY_CHANCE, None
    for cut in np.linspace(summit, top, VALLEY_CUTS + 2)[1:-1]:
        begin = int(np.searchsorted(scores, cut))
        above = len(scores) - begin
        if not 0 < above <= VALLEY_SHARE * len(scores):
            continue
        # As far on either side of the cut as half of the jumps reach.
        reach = scores[begin + above // 2] - cut
        if cut < VALLEY_EDGE or cut - reach < summit:
            continue
        below = begin - int(np.searchsorted(scores, cut - reach))
        chance = _falling(below, above // 2)
        if chance < best:
            best, place = chance, float(cut)
    return place


def _falling(below: int, above: int) -> float:
    """A bound of the chance that a falling density puts `above` points behind and `below` before a cut (Hoeffding)."""
    total = below + above
    if not total or above <= below:
        return 1.0
    share = above / total
    # The relative entropy of the share to one half.
    entropy = sum(p * np.log(2 * p) for p in (share, 1 - share) if p > 0)
    return float(np.exp(-total * entropy))


def _moving_on(survey: Survey, at: np.ndarray) -> np.ndarray:
    """The numbers of the state that keep to their usual steps; none if not half of them do (of three, one)."""
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
    """Whether one of these numbers is at its least, or greatest, value of all in every such row, beyond chance."""
    states = survey.states(survey.sample(SAMPLE, 27))[:, numbers].astype(np.float64)
    arrivals = survey.successors(subsample(at, 2000, survey, 13))[:, numbers].astype(np.float64)
    low, high = (pick(np.vstack([states, arrivals]), axis=0) for pick in (np.min, np.max))
    margin = WALL * (high - low)
    for near_known, near in (
        (states <= low + margin, arrivals <= low + margin),
        (states >= high - margin, arrivals >= high - margin),
    ):
        # That all of them are there by chance, in any of the numbers, at either limit.
        chance = 2 * len(numbers) * near_known.mean(axis=0) ** len(arrivals)
        if (near.all(axis=0) & (chance < WALL_CHANCE)).any():
            return True
    return False


def _walls(survey: Survey, at: np.ndarray) -> Finding:
    return Finding(
        "wall",
        "note",
        "a few numbers of the state jump where another is at its limit, and the rest moves on as usual",
        "a system that hits a wall, or a stop of a joint, does so",
        "nothing to do if there is a wall",
        survey.rows(at),
        len(at),
    )


def _own_jumps(survey: Survey, at: np.ndarray) -> bool:
    """Whether jumps are the environment's own: all from a few places, not evenly spaced, and not to where it starts."""
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
    """Whether most jumps, two at least, are as many rows apart."""
    gaps, counts = np.unique(np.diff(at), return_counts=True)
    return len(at) > 2 and bool(gaps[counts.argmax()] > 1 and counts.max() > REGULAR_SHARE * (len(at) - 1))


def _nearest(points: np.ndarray) -> float:
    """The median distance of a point to its nearest other."""
    points = points.astype(np.float64)
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    return float(np.sqrt(np.maximum(np.median(distances.min(axis=1)), 0)))
