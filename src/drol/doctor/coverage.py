"""Figures on what a data set contains: episodes, returns, actions."""

import numpy as np

from drol.doctor.action_modes import action_modes
from drol.doctor.actions import AT_BOUND, bounds
from drol.doctor.findings import Coverage
from drol.doctor.survey import SAMPLE, Survey

QUANTILES = {"min": 0.0, "10%": 0.1, "median": 0.5, "90%": 0.9, "max": 1.0}


def coverage(survey: Survey) -> Coverage:
    """Figures by topic."""
    log, last = survey.log, survey.last
    truncated = None if log.truncated is None else float(np.asarray(log.truncated, bool)[last].mean())
    return {
        "episodes": len(last),
        "lengths": quantiles(survey.lengths),
        "returns": _returns(survey),
        "ends_terminated": float(np.asarray(log.terminated, bool)[last].mean()),
        "ends_truncated": truncated,
        "rows_terminated": float(np.asarray(log.terminated, bool).mean()),
        "actions": _actions(survey),
        "modes": action_modes(survey),
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """A few quantiles by name."""
    return {name: float(value) for name, value in zip(QUANTILES, _quantile(values), strict=True)}


def _quantile(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, list(QUANTILES.values()))


def _returns(survey: Survey) -> dict[str, float] | None:
    """Undiscounted returns of episodes whose rewards are all finite."""
    if survey.log.rewards is None:
        return None
    sums = np.add.reduceat(survey.rewards(slice(None)), survey.first)
    sums = sums[np.isfinite(sums)]
    return quantiles(sums) if len(sums) else None


def _actions(survey: Survey) -> list[dict[str, float]]:
    """Each dimension's mean, spread, extremes and share at a bound, in the source's units, from a sample."""
    at = survey.sample(SAMPLE, 9)
    if not len(at):
        return []
    actions = survey.actions(at).astype(np.float64)
    low, high = bounds(survey)
    margin = AT_BOUND * (high - low) / 2
    at_bound = (actions <= low + margin) | (actions >= high - margin)
    figures = {"mean": actions.mean(0), "std": actions.std(0), "min": actions.min(0), "max": actions.max(0)}
    figures["at_bound"] = at_bound.mean(0)
    return [{name: float(values[n]) for name, values in figures.items()} for n in range(actions.shape[1])]
