"""Actions out of bounds, in other units, at their bounds, or constant."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding, dimensions
from drol.doctor.survey import Survey

ROUNDING = 1e-4
"""How far beyond a bound counts as rounding, in units of half the range; training has the same tolerance."""

UNITS_SHARE = 0.05
"""If more than this share of the rows lies outside, the units are wrong, not the rows."""

SMALL = 0.1
"""If no action exceeds a tenth of the range, the unit is probably another (metres instead of centimetres, say)."""

AT_BOUND = 1e-3
"""How near to a bound counts as being at it; training clips to 1 - 1e-5."""

SATURATED = 0.5
"""If more than this share of a dimension's actions is at a bound, it is noted."""

ENOUGH = 100
"""Transitions needed to judge the range of actions."""


BOUNDS = (
    "state the bounds of the actions (action_low and action_high in the file, --action-low and --action-high, or the "
    "environment's with --env), or rescale them to [-1, 1]"
)
"""The remedy for actions in units of their own."""


def check_actions(survey: Survey) -> Iterator[Finding]:
    """Bounds, units, saturation and constancy, in one pass."""
    low, high = bounds(survey)
    wide = high > low
    beyond, at_bound, finite = np.zeros(len(survey.log), bool), np.zeros(len(low)), 0
    least, greatest = np.full(len(low), np.inf), np.full(len(low), -np.inf)
    for block in survey.blocks():
        actions = 2 * (survey.actions(block) - low) / np.where(wide, high - low, 1) - 1
        size = np.abs(actions)
        beyond[block] = (np.where(np.isfinite(size), size, 0) > 1 + ROUNDING).any(axis=1)
        at_bound += (size >= 1 - AT_BOUND).sum(axis=0)
        finite += len(actions)
        least = np.fmin(least, np.fmin.reduce(actions, axis=0))
        greatest = np.fmax(greatest, np.fmax.reduce(actions, axis=0))
    yield from _outside(survey, beyond)
    if len(survey.log) < ENOUGH or beyond.any():
        return
    yield from _units(survey, least, greatest)
    yield from _still(survey, least, greatest, at_bound / finite)


def bounds(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """The bounds the source states, or -1 and 1; float64."""
    width = survey.log.actions.shape[1]
    low = -np.ones(width) if survey.log.action_low is None else survey.log.action_low
    high = np.ones(width) if survey.log.action_high is None else survey.log.action_high
    return np.asarray(low, np.float64), np.asarray(high, np.float64)


def _outside(survey: Survey, beyond: np.ndarray) -> Iterator[Finding]:
    at = np.flatnonzero(beyond)
    if not len(at):
        return
    low, high = bounds(survey)
    allowed = f"[{low.min():g}, {high.max():g}]"
    largest = max(float(np.nanmax(np.abs(survey.actions(block)), initial=0)) for block in survey.blocks())
    units = len(at) > UNITS_SHARE * len(survey.log)
    yield survey.finding(
        "action-units" if units else "action-bounds",
        "error",
        f"actions lie outside {allowed}, up to {largest:g}" + (": other units?" if units else ""),
        "the policy cannot take them, and training refuses them",
        BOUNDS if units else "remove or clip these rows",
        at,
    )


def _units(survey: Survey, least: np.ndarray, greatest: np.ndarray) -> Iterator[Finding]:
    largest = float(np.maximum(np.abs(least), np.abs(greatest)).max())
    if largest == 0:
        return
    half = (least >= 0).all() and (greatest > least).all()
    if largest < SMALL or half:
        found = f"no action is larger than {largest:.2g} of the allowed 1" if not half else "all lie in the upper half"
        yield Finding(
            "action-units",
            "warning",
            f"actions use a small part of their range: {found}",
            "they were probably recorded in other units, and a policy that uses the whole range acts far from the data",
            "rescale them so that -1 and 1 are the bounds of the environment's actions",
        )


def _still(survey: Survey, least: np.ndarray, greatest: np.ndarray, share: np.ndarray) -> Iterator[Finding]:
    constant = np.flatnonzero(least == greatest)
    if len(constant) == len(least):
        yield Finding(
            "constant-action",
            "error",
            "the action is the same in every transition",
            "no action can be compared with another, so nothing can be learned from such data",
            "check which column the actions were taken from, and whether they were recorded at all",
        )
    elif len(constant):
        alone = len(constant) == 1
        yield Finding(
            "constant-action",
            "note",
            f"action {dimensions(constant)} "
            + (f"is always {_value(survey, int(constant[0]))}" if alone else "never change"),
            "the data do not show what another value would do",
            f"leave {'it' if alone else 'them'} out if the environment ignores {'it' if alone else 'them'}",
        )
    saturated = np.flatnonzero((share > SATURATED) & (least < greatest))
    if len(saturated):
        shares = ", ".join(f"{100 * share[n]:.0f} %" for n in saturated[:8])
        yield Finding(
            "saturated-action",
            "note",
            f"action {dimensions(saturated)} {'is' if len(saturated) == 1 else 'are'} mostly at a bound ({shares} "
            f"of all transitions)",
            "natural for a gripper or a bang-bang controller; otherwise larger actions were clipped",
            "check that actions were not scaled beyond their bounds before they were clipped",
        )


def _value(survey: Survey, number: int) -> str:
    return f"{float(survey.actions(slice(0, 1))[0, number]):g}"
