"""The one number that the field reports for a run."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from drol.training.settings import LAST_EVALUATIONS

Measure = Literal["score", "success", "return"]

MEASURES: dict[Measure, str] = {"score": "normalised score", "success": "success", "return": "return"}
"""A run is reported by the first of these that it has."""

DIGITS: dict[Measure, int] = {"score": 1, "success": 2, "return": 1}
"""Decimals that a table shows; a hundredth of success is an episode of a hundred."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A mean over the last evaluations of a run; no checkpoint is selected.

    Attributes:
        value: the mean of D4RL's normalised score if it has one, else of success, else of the return.
        measure: which of these.
        evaluations: how many were averaged: fewer than three if the run has fewer.
        episodes: how many episodes they had in total.
    """

    value: float
    measure: Measure
    evaluations: int
    episodes: int


def online(lines: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The lines of a run's time online; all, if it did not learn online."""
    return [line for line in lines if "step" in line] or lines


def figure(lines: Iterable[Mapping[str, Any]]) -> Figure | None:
    """A run's figure from the lines of its `metrics.jsonl`; None if it was never evaluated.

    The figure of a run that learned online is that of its time online, whose lines have a `step`.
    """
    kept = online(list(lines))
    for measure in MEASURES:
        name = f"evaluation/{measure}"
        last = [line for line in kept if line.get(name) is not None][-LAST_EVALUATIONS:]
        if last:
            value = statistics.fmean(line[name] for line in last)
            return Figure(value, measure, len(last), sum(line["evaluation/episodes"] for line in last))
    return None
