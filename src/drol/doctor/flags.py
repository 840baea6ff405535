"""End-of-episode flags that are a few rows off, or that are masks instead."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.numerics import relative_entropy
from drol.doctor.steps import Steps
from drol.doctor.successors import broken
from drol.doctor.survey import Survey

OFFSETS = (-3, -2, -1, 0, 1, 2, 3)
"""Rows around a marked end among which the jump to the next episode is sought."""

ENDS = 3
"""With fewer ends, nothing can be said."""

CHANCE = 1e-4
"""In sound logs without visible resets, the largest step is equally likely at each of the seven places. The place that
wins most often counts only if the chance of so many wins is below 1e-4, and if it wins three times as often as the
marked one."""

AHEAD = 3

NEARLY_ALL = 0.9
"""If rows include their next observations, nearly all episodes must end at the same distance from their marks, and
hardly any at the marks themselves."""

CLEAR = 5.0
ORDINARY = 2.5
"""With few ends, each must show a step so large (by `Steps.far`) that only one in 3,000 is larger, and the marked ends
must show ordinary steps."""

MASK_SHARE = 2 / 3
ALONE = 0.95
"""Flags are masks (1 where the episode continues) if at least two rows in three are flagged, and unflagged rows are
isolated."""


def check_flags(survey: Survey) -> Iterator[Finding]:
    """Masks in place of flags; otherwise ends that are marked a few rows early or late."""
    if looks_like_masks(survey):
        count = int(np.asarray(survey.log.terminated, bool).sum())
        yield Finding(
            "inverted-flags",
            "error",
            f"{count} of {len(survey.log)} transitions are marked as terminated: are these masks (1 where the episode "
            f"continues)?",
            "every step would count as an end, so nothing would be learned about what follows an action",
            "store terminated = 1 - mask",
        )
        return
    offset, ends = _offset(survey)
    if offset:
        late = offset < 0
        rows = f"{abs(offset)} row{'s' if abs(offset) > 1 else ''}"
        yield survey.finding(
            "flag-shift",
            "error",
            f"ends of episodes are marked {rows} too {'late' if late else 'early'}: the state jumps {rows} "
            f"{'before' if late else 'after'} the marked ends",
            "transitions lead from one episode into the next, and true ends are missed",
            f"move the flags {rows} {'up' if late else 'down'}",
            ends,
        )


def looks_like_masks(survey: Survey) -> bool:
    """Whether `terminated` marks the rows after which the episode continues."""
    marked = np.asarray(survey.log.terminated, bool)
    # Readers leave out rows without a successor; the gaps are unmarked rows, too.
    gaps = np.diff(survey.log.rows) > 1
    unmarked = int((~marked).sum() + gaps.sum())
    if not unmarked or marked.sum() < MASK_SHARE * (len(marked) + gaps.sum()):
        return False
    alone = marked[1:] | marked[:-1]
    return bool(alone.mean() >= ALONE) and len(marked) > ENDS


def _offset(survey: Survey) -> tuple[int, np.ndarray]:
    """By how many rows the jumps between episodes follow the marked ends, and these ends; 0 if the marks are right."""
    log, steps = survey.log, Steps(survey)
    none = 0, np.empty(0, int)
    if log.next_observations is not None:
        return _offset_of_tuples(survey)
    if not np.isfinite(steps.typical).any():
        return none
    # The row of the table after which the next episode is said to start.
    ends = survey.last[:-1]
    edges = log.index[ends + 1] - 1
    reach = max(OFFSETS) + 1
    good = (edges >= reach) & (edges < len(log.observations) - reach) & (edges - log.index[ends] <= 1)
    good &= edges >= log.index[ends]
    ends, edges = ends[good], edges[good]
    if len(ends) < ENDS:
        return none
    scores = np.stack([_scores(survey, steps, edges + offset) for offset in OFFSETS], axis=1)
    wins = np.bincount(scores.argmax(axis=1), minlength=len(OFFSETS))
    best = int(wins.argmax())
    marked = scores[:, OFFSETS.index(0)]
    likely = wins[best] > AHEAD * wins[OFFSETS.index(0)] and _chance(int(wins[best]), len(ends)) < CHANCE
    clear = scores[:, best].min() > CLEAR and marked.max() < ORDINARY
    return (OFFSETS[best], ends) if likely or clear else none


def _offset_of_tuples(survey: Survey) -> tuple[int, np.ndarray]:
    """The same for rows that include next observations: an episode then ends where s' is not the next row's s."""
    log = survey.log
    breaks = np.zeros(len(log), bool)
    breaks[broken(survey)] = True
    marked = np.asarray(log.terminated, bool) | (False if log.truncated is None else np.asarray(log.truncated, bool))
    reach = max(OFFSETS)
    ends = np.flatnonzero(marked)
    ends = ends[(ends >= reach) & (ends < len(log) - 1 - reach)]
    if len(ends) < ENDS:
        return 0, ends
    shares = np.array([breaks[ends + offset].mean() for offset in OFFSETS])
    best = int(shares.argmax())
    shifted = shares[best] > NEARLY_ALL and shares[OFFSETS.index(0)] < 1 - NEARLY_ALL
    return (OFFSETS[best], ends) if shifted else (0, ends)


def _scores(survey: Survey, steps: Steps, rows: np.ndarray) -> np.ndarray:
    """How far the state moves from each of these rows of the table to the next."""
    table = survey.log.observations
    scores = steps.far_between(np.asarray(table[rows], np.float64), np.asarray(table[rows + 1], np.float64))
    return np.nan_to_num(scores, nan=-np.inf)


def _chance(wins: int, ends: int) -> float:
    """A bound on the chance that one of the seven places wins so often (Hoeffding)."""
    share, even = wins / ends, 1 / len(OFFSETS)
    return float(len(OFFSETS) * np.exp(-ends * relative_entropy(share, even))) if share > even else 1.0
