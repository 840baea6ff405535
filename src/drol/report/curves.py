"""Learning curves: a metric of runs that differ in their seed only, at the updates that all of them have recorded."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from drol.errors import DataError, nearest
from drol.files import listed
from drol.report.figure import MEASURES
from drol.report.runs import RunRecord
from drol.report.statistics import band
from drol.report.summary import Members, collected

Band = Literal["interval", "range", "seeds"]

BANDS: dict[Band, str] = {
    "interval": "95 % bootstrap interval of the mean over seeds",
    "range": "the lowest and the highest seed",
    "seeds": "every single seed",
}
"""What is drawn around the mean."""

ROUTING = ("centroid_divergence", "pairwise_distance", "min_squared_distance", "routing_margin")
"""Metrics of routing that are measured on every batch; those on probes begin with `routing/`."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric of a method on a task over training.

    Attributes:
        task, method, metric: as named.
        seeds: of the runs, in the order of the rows of `values`.
        updates: those at which all runs have a value.
        values: of the metric.
        start: the update from which the runs learned online; None if they did not.
        ended_by: why the curve ends before runs do, in words; None if it does not.
    """

    task: str
    method: str
    metric: str
    seeds: tuple[int, ...]
    updates: Int[np.ndarray, " points"]
    values: Float[np.ndarray, "seeds points"]
    start: int | None
    ended_by: str | None

    @property
    def mean(self) -> Float[np.ndarray, " points"]:
        """Over seeds."""
        return self.values.mean(axis=0)

    def ends(self, kind: Band) -> "Float[np.ndarray, '2 points'] | None":
        """The lower and the upper end of the band; None for a single seed, and where seeds are drawn themselves."""
        if len(self.seeds) < 2 or kind == "seeds":
            return None
        return band(self.values) if kind == "interval" else np.stack([self.values.min(axis=0), self.values.max(axis=0)])


def curves(runs: Iterable[RunRecord], metrics: Sequence[str] = ()) -> list[Curve]:
    """The curves of all groups of runs that have the metrics.

    Args:
        runs: as `drol.report.runs.runs_in` reads them.
        metrics: names of metrics; `losses` and `routing` stand for all of that kind, and `success`, `return`, `score`
            and `length` for those of evaluations. By default what each run is measured by.

    Raises:
        DataError: for a metric that no run has, or if nothing has been recorded yet.
    """
    groups = collected(runs)
    recorded = {name for members in groups for name in _recorded(members)}
    found: list[Curve] = []
    for name in metrics:
        _check(name, recorded)
    for members in groups:
        have = _recorded(members)
        names = [_full(one, have) for name in metrics for one in _meant(name, have)] or _measures(have, metrics)
        found += [curve for name in dict.fromkeys(names) if (curve := _curve(members, name)) is not None]
    if not found:
        raise DataError("these runs have recorded nothing to draw yet; name another metric, or wait for an evaluation")
    return found


def _recorded(members: Members) -> list[str]:
    """The names of all numbers in the runs' records, in the order of their first appearance."""
    names = dict.fromkeys(name for run in members.runs for line in run.lines for name in line)
    return [
        name for name in names if any(_number(line.get(name)) is not None for run in members.runs for line in run.lines)
    ]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _full(name: str, have: Sequence[str]) -> str:
    return f"evaluation/{name}" if f"evaluation/{name}" in have and name not in have else name


def _meant(name: str, have: Sequence[str]) -> list[str]:
    """The metrics that a name stands for."""
    if name == "losses":
        return [one for one in have if one.endswith("loss") and "/" not in one]
    if name == "routing":
        return [one for one in have if one.startswith("routing/") or one in ROUTING]
    return [name] if _full(name, have) in have else []


def _measures(have: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """What the runs are measured by, unless other metrics were asked for."""
    names = [f"evaluation/{name}" for name in MEASURES if f"evaluation/{name}" in have]
    return [] if metrics else names[:1]


def _check(name: str, recorded: Iterable[str]) -> None:
    have = sorted(recorded)
    if not _meant(name, have):
        known = [one.removeprefix("evaluation/") for one in have if one != "update"]
        hint = "".join(f"; did you mean {near!r}?" for near in nearest(name, known)) or "."
        raise DataError(f"no run has recorded {name!r}{hint} Recorded are: {listed(known, 60)}")


def _curve(members: Members, metric: str) -> Curve | None:
    runs = list({run.seed: run for run in reversed(members.runs)}.values())[::-1]  # a copied run counts once
    rows = [
        {line["update"]: value for line in run.lines if (value := _number(line.get(metric))) is not None}
        for run in runs
    ]
    shared = sorted(set.intersection(*(set(row) for row in rows)))
    if not shared:
        return None
    values = np.array([[row[update] for update in shared] for row in rows])
    first = runs[0]
    short = [run for run, row in zip(runs, rows, strict=True) if max(row) == shared[-1]]
    longest = max(max(row) for row in rows)
    ended_by = None if longest == shared[-1] else ", ".join(f"seed {run.seed} {run.state}" for run in short)
    return Curve(
        task=first.task,
        method=members.method,
        metric=metric,
        seeds=tuple(run.seed for run in runs),
        updates=np.array(shared),
        values=values,
        start=first.start,
        ended_by=ended_by,
    )
