"""Where episodes begin and end, and whether each next observation is the one that follows."""

from collections.abc import Iterator

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.survey import JUMP_FACTOR, Survey, subsample, take

FEW_EPISODES = 20
"""A validation split of a tenth then is a single episode, or none."""

SINGLE_SHARE = 0.2
"""Up to a fifth of the episodes may end at once, having started at the goal; more is suspicious."""

CROSSING_SHARE = 0.2
"""Episodes that are pieces of one long recording also end where the next begins, with a step like any other. So such
rows are faults only if a fifth of them step further than any step inside an episode, or one steps implausibly far."""

PORTALS = 8
PORTAL_SPREAD = 0.3
"""Jumps of an environment's own, such as portals, leave from the same few places. At least 8 jumps are needed to tell;
the nearest other departure then is at less than 0.3 of the distance between as many states drawn at random."""

REGULAR = 6
REGULAR_SHARE = 0.5
"""Forgotten time limits, on the other hand, leave most jumps evenly spaced; six or more then cannot be chance."""

SEVERAL = 4
MOVED_SHARE = 0.5
"""Of a state of at least 4 smooth numbers, a reset moves at least half further than nineteen steps in twenty do."""

SUCCESSOR_TOLERANCE = 1e-5
"""Relative to the numbers' size: float32 rounding along the way, not another state."""


def check_crossing(survey: Survey) -> Iterator[Finding]:
    """Transitions whose s' is the first state of the following episode."""
    log = survey.log
    at = survey.last[:-1]
    same = (survey.successors(at) == survey.states(at + 1)).all(axis=1)
    at = at[same]
    inside = survey.scores[~survey.ends]
    usual = inside[inside <= 1].max(initial=0)
    beyond = at[survey.scores[at] > usual]
    if np.isfinite(survey.limits).any() and (len(beyond) > CROSSING_SHARE * len(at) or (survey.scores[at] > 1).any()):
        cause = "no table of next observations" if log.next_observations is None else "its table of next observations"
        yield Finding(
            "crosses-episodes",
            "error",
            "the next observation of an episode's last transition is the first of the following episode, further away "
            "than any step inside an episode",
            "the value of a new start leaks into the end of the episode before",
            f"drop these transitions, or store the true last observation (the source has {cause})",
            survey.rows(beyond),
            len(beyond),
        )


def check_jumps(survey: Survey) -> Iterator[Finding]:
    """Steps inside an episode that are too large to be steps."""
    at = np.flatnonzero((survey.scores > 1) & ~survey.ends)
    if not len(at):
        # Short episodes without their ends have so many jumps that these pass for ordinary steps.
        at = np.flatnonzero((survey.suspicions() > 1) & ~survey.ends)
        if len(at) < REGULAR or not _evenly_spaced(at):
            return
    if _own_jumps(survey, at):
        yield Finding(
            "portals",
            "note",
            "the state jumps, always from the same few places",
            "an environment with portals does so; if it has none, these are ends of episodes that were not marked",
            "nothing to do if the environment jumps; otherwise mark them as ends",
            survey.rows(at),
            len(at),
        )
        return
    regular = len(at) >= REGULAR and _evenly_spaced(at)
    if not regular and _most_moves_on(survey, at):
        yield Finding(
            "partial-jump",
            "warning",
            "a few numbers of the state jump inside an episode, and the rest moves on as usual",
            "a collision, an angle that wraps or a sensor's failure does so; an unmarked end would move nearly all",
            "nothing to do if the system behaves so; otherwise leave these rows out",
            survey.rows(at),
            len(at),
        )
        return
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


def _most_moves_on(survey: Survey, at: np.ndarray) -> bool:
    """Whether at most of these steps less than half of the state's numbers move further than usual."""
    smooth = np.flatnonzero(np.isfinite(survey.limits))
    steps = np.abs(survey.successors(at)[:, smooth] - survey.states(at)[:, smooth])
    moved = (steps > survey.limits[smooth] / JUMP_FACTOR).mean(axis=1)
    return len(smooth) >= SEVERAL and float(np.median(moved)) < MOVED_SHARE


def check_successors(survey: Survey) -> Iterator[Finding]:
    """Next observations that differ from the following observation of the same episode."""
    log, wrong = survey.log, []
    for block in survey.blocks():
        inside = np.flatnonzero(~survey.ends[block]) + block.start
        if log.next_observations is None:
            inside = inside[log.next_index[inside] != log.index[inside + 1]]
        if len(inside):
            following, stored = take(log.observations, log.index[inside + 1]), survey.successors(inside)
            size = np.maximum(np.abs(following), np.abs(stored))
            # Not written with <=: NaN is reported as such, not here.
            wrong.append(inside[(np.abs(following - stored) > SUCCESSOR_TOLERANCE * size + 1e-7).any(axis=1)])
    at = np.concatenate(wrong) if wrong else np.empty(0, int)
    if len(at):
        most = len(at) > 0.5 * (~survey.ends).sum()
        yield Finding(
            "successor",
            "error",
            "the next observation is not the following row's observation"
            + (" in most rows: is the data shuffled, or sampled sparsely?" if most else ", inside an episode"),
            "either the transition or the order of rows is wrong; next actions are taken from the wrong state",
            "keep rows in the order they were recorded, and mark each end of an episode",
            survey.rows(at),
            len(at),
        )


def check_counts(survey: Survey) -> Iterator[Finding]:
    """Too few episodes, and episodes of one step."""
    count, lengths = len(survey.last), survey.lengths
    if count < FEW_EPISODES:
        yield Finding(
            "few-episodes",
            "note",
            f"there {'is' if count == 1 else 'are'} only {count} episode{'s' if count > 1 else ''}",
            f"a validation split needs about {FEW_EPISODES} to say anything",
            "train without a validation split, or record more",
        )
    single = survey.first[lengths == 1]
    if len(single):
        whole = len(single) == len(survey.log)
        yield Finding(
            "single-step",
            "warning" if len(single) > SINGLE_SHARE * count else "note",
            "every transition is an episode of its own"
            if whole
            else f"{len(single)} of {count} episodes have one step",
            "nothing follows in them; where there are many, ends were marked in the wrong rows",
            "check the ends, or leave these episodes out",
            survey.rows(single),
            len(single),
        )


def _own_jumps(survey: Survey, at: np.ndarray) -> bool:
    """Whether jumps are the environment's own: all from a few places, and not evenly spaced."""
    if len(at) < PORTALS or _evenly_spaced(at):
        return False
    at = subsample(at, 500, survey, 3)
    steps = np.abs(survey.successors(at) - survey.states(at))
    jumping = (steps > survey.limits).mean(axis=0) > REGULAR_SHARE
    if not jumping.any():
        return False
    ordinary = survey.sample(len(at), 4, ~survey.ends)
    return _nearest(survey.states(at)[:, jumping]) < PORTAL_SPREAD * _nearest(survey.states(ordinary)[:, jumping])


def _evenly_spaced(at: np.ndarray) -> bool:
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
