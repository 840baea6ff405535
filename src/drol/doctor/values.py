"""Values that are not finite; observation dimensions that are constant or redundant."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding, dimensions
from drol.doctor.survey import SAMPLE, Survey, is_finite

AFFINE_ROWS = 50
"""With fewer rows, two unrelated dimensions may fit a line by chance."""

AFFINE_CORRELATION = 1 - 1e-6
AFFINE_RESIDUAL = 1e-4
"""Two dimensions are the same up to offset and scale if the residual of the best line is below a ten-thousandth of the
spread everywhere: that leaves room for float32 rounding, but not for two measurements."""

AFFINE_WIDTH = 1000
"""More dimensions than this are pixels or the like, some of which always agree; their pairs would fill the memory."""


def check_finite(survey: Survey) -> Iterator[Finding]:
    """NaN and infinity, array by array; overflow in float32 counts."""
    if survey.finite.all():
        return
    for name, bad in _bad_rows(survey).items():
        at = np.flatnonzero(bad)
        if len(at):
            yield survey.finding(
                "not-finite",
                "error",
                f"{name} hold NaN or infinite values (in float32)",
                "one such number in a batch turns every weight of the networks into NaN",
                "remove the episodes that hold them, or repair the recording",
                at,
            )


def check_constant(survey: Survey) -> Iterator[Finding]:
    """Dimensions of the observations that never change."""
    low, high = _range(survey)
    constant = np.flatnonzero(low == high)
    if len(constant):
        yield Finding(
            "constant-observation",
            "note",
            f"observation {dimensions(constant)} never change{'s' if len(constant) == 1 else ''}",
            "nothing can be learned from it, and dividing by its spread would divide by zero",
            "leave it out unless the environment varies it",
        )


def check_redundant(survey: Survey) -> Iterator[Finding]:
    """Pairs of dimensions that are the same up to offset and scale."""
    at = survey.sample(SAMPLE, 2)
    if len(at) < AFFINE_ROWS or survey.width > AFFINE_WIDTH:
        return
    values = survey.states(at).astype(np.float64)
    values -= values.mean(axis=0)
    spread = values.std(axis=0)
    moving = np.flatnonzero((spread > 0) & np.isfinite(spread))
    values = values[:, moving] / spread[moving]
    close = np.abs(values.T @ values / len(values)) > AFFINE_CORRELATION
    pairs = []
    for one, other in np.argwhere(np.triu(close, 1)):
        slope = float(np.sign(values[:, one] @ values[:, other]))
        if np.abs(values[:, other] - slope * values[:, one]).max() < AFFINE_RESIDUAL:
            pairs.append(f"{moving[one]} and {moving[other]}")
    if pairs:
        more = f" and {len(pairs) - 5} more pairs" if len(pairs) > 5 else ""
        yield Finding(
            "redundant-observation",
            "note",
            f"observation dimensions {'; '.join(pairs[:5])}{more} are the same up to offset and scale",
            "they say the same thing twice, which is often an error in the recording",
            "check that each holds what it should",
        )


def _bad_rows(survey: Survey) -> dict[str, np.ndarray]:
    log, count = survey.log, len(survey.log)
    bad = {name: np.zeros(count, bool) for name in ("observations", "next observations", "actions")}
    if log.rewards is not None:
        bad["rewards"] = ~is_finite(np.asarray(log.rewards))
    for block in survey.blocks():
        bad["observations"][block] = ~is_finite(survey.states(block)).all(axis=1)
        bad["actions"][block] = ~is_finite(survey.actions(block)).all(axis=1)
        bad["next observations"][block] = ~is_finite(survey.successors(block)).all(axis=1)
    if log.next_observations is None:
        # Inside an episode, s' is the following s, which has already been counted.
        bad["observations"] |= bad.pop("next observations") & survey.ends
    return bad


def _range(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest value of each dimension, ignoring NaN."""
    width = survey.width
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for block in survey.blocks():
        values = survey.states(block)
        low = np.fmin(low, np.fmin.reduce(values, axis=0))
        high = np.fmax(high, np.fmax.reduce(values, axis=0))
    return low, high
