"""Runs grouped by task, method and swept values, each group with its score and how uncertain it is."""

import csv
import dataclasses
import io
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drol.algorithms import registry
from drol.extras import lazy
from drol.files import counted, null_for_nan, write_json
from drol.presets import TITLES
from drol.report.figure import DIGITS, MEASURES, Figure, Measure
from drol.report.runs import RunRecord, runs_in
from drol.report.statistics import RESAMPLES, Interval, improvement, interquartile_mean, interval, mean

if TYPE_CHECKING:
    from drol import algorithm
else:
    algorithm = lazy("drol.algorithm")

SUMMARY = "summary.json"
"""What the folder of a sweep holds about its runs."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only.

    Attributes:
        task: of all of them.
        method: the algorithm, with the values in which it differs from other groups of the task.
        algorithm, values: the same, apart.
        seeds: whose runs are finished and evaluated, in the order of `scores`.
        scores: the figure of each run.
        measure: what the scores are; None if there are none.
        evaluations: how many of the last evaluations each score averages: the fewest and the most.
        episodes: how many episodes all scores are made from.
        left_out: the runs without a score, in words. With a diverged run among them there are no statistics, because
            leaving it out would select among seeds.
        diverged: whether a run diverged.
    """

    task: str
    method: str
    algorithm: str
    values: Mapping[str, Any]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    measure: Measure | None
    evaluations: tuple[int, int]
    episodes: int
    left_out: tuple[str, ...]
    diverged: bool

    @property
    def is_scored(self) -> bool:
        """Whether there are statistics."""
        return bool(self.scores) and not self.diverged

    def statistics(self) -> dict[str, float | None]:
        """Mean, sample standard deviation, interquartile mean, and the 95 % intervals of the two means.

        None where one seed is too few, and everywhere without a score.
        """
        names = ("mean", "standard_deviation", "iqm", "iqm_low", "iqm_high", "mean_low", "mean_high")
        if not self.is_scored:
            return dict.fromkeys(names)
        scores = [np.array(self.scores)]
        several = len(self.scores) > 1
        of_iqm = interval(interquartile_mean, scores) or (None, None)
        of_mean = interval(mean, scores) or (None, None)
        spread = float(np.std(scores[0], ddof=1)) if several else None
        values = (float(mean(scores)), spread, float(interquartile_mean(scores)), *of_iqm, *of_mean)
        return dict(zip(names, values, strict=True))

    def basis(self) -> str:
        """What the scores were made from, in words."""
        if not self.scores:
            return "; ".join(self.left_out) or "no evaluation"
        assert self.measure is not None
        few, many = self.evaluations
        number = f"{few}" if few == many else f"{few} to {many}"
        last = "the last evaluation" if few == many == 1 else f"the last {number} evaluations"
        said = f"{MEASURES[self.measure]}, mean of {last}, {counted(len(self.scores), 'seed')}, "
        return "; ".join([said + counted(self.episodes, "episode"), *self.left_out])

    def as_record(self) -> dict[str, Any]:
        """Everything as JSON."""
        record = {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }
        return null_for_nan(record | {"basis": self.basis()} | self.statistics())


class Members(NamedTuple):
    """Runs that differ in their seed only, and the name of what they have in common.

    Attributes:
        method: the algorithm, with the values in which it differs from other groups of the task.
        values: those values.
        runs: in the order of their seeds.
    """

    method: str
    values: Mapping[str, Any]
    runs: Sequence[RunRecord]


def collected(runs: Iterable[RunRecord]) -> list[Members]:
    """Runs in groups, in the order of tasks and runs."""
    tasks: dict[str, dict[tuple[str, Hashable], list[RunRecord]]] = {}
    for run in _completed(list(runs)):
        key = (run.algorithm, json.dumps(run.facts, sort_keys=True))
        tasks.setdefault(run.task, {}).setdefault(key, []).append(run)
    return [
        _members(members, _distinguishing(list(groups.values()), members[0].algorithm))
        for groups in tasks.values()
        for members in groups.values()
    ]


def _completed(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The same runs; those of an earlier version with the hyperparameters that were added since, at their defaults.

    The classes of algorithms know the defaults, so JAX is imported, but only if versions are mixed.
    """
    names: dict[str, set[str]] = {}
    for run in runs:
        names.setdefault(run.algorithm, set()).update(run.facts)
    return [run if run.facts.keys() == names[run.algorithm] else _with_defaults(run) for run in runs]


def _with_defaults(run: RunRecord) -> RunRecord:
    if run.algorithm not in TITLES:
        return run  # no module is imported just because a file names it
    cls = registry.algorithm_class(run.algorithm)
    fields = {field.name for field in dataclasses.fields(cls)}
    known = {name: value for name, value in run.facts.items() if name in fields}
    defaults = algorithm.hyperparameters(algorithm.from_record(cls, known))
    return dataclasses.replace(run, facts=defaults | dict(run.facts))


def grouped(runs: Iterable[RunRecord]) -> list[Group]:
    """Groups in the order of tasks and runs."""
    return [_group(members) for members in collected(runs)]


def _distinguishing(groups: Sequence[Sequence[RunRecord]], algorithm: str) -> list[str]:
    """The facts in which groups of the same algorithm differ."""
    alike = [members[0].facts for members in groups if members[0].algorithm == algorithm]
    names = dict.fromkeys(name for facts in alike for name in facts)
    return [name for name in names if len({json.dumps(facts.get(name)) for facts in alike}) > 1]


def _members(runs: Sequence[RunRecord], names: Sequence[str]) -> Members:
    first = runs[0]
    values = {name: first.facts.get(name) for name in names}
    words = [f"{name} {_short(value)}" for name, value in values.items()]
    method = ", ".join([TITLES.get(first.algorithm, first.algorithm), *words])
    return Members(method, values, sorted(runs, key=lambda run: run.seed))


def _group(members: Members) -> Group:
    first = members.runs[0]
    scored: dict[int, Figure] = {}
    again: list[int] = []
    for run in members.runs:
        if run.state == "finished" and run.figure is not None:
            if run.seed in scored:
                again.append(run.seed)
            else:
                scored[run.seed] = run.figure
    counts = [found.evaluations for found in scored.values()]
    others = [run for run in members.runs if run.state != "finished" or run.figure is None]
    return Group(
        task=first.task,
        method=members.method,
        algorithm=first.algorithm,
        values=members.values,
        seeds=tuple(scored),
        scores=tuple(found.value for found in scored.values()),
        measure=next((found.measure for found in scored.values()), None),
        evaluations=(min(counts, default=0), max(counts, default=0)),
        episodes=sum(found.episodes for found in scored.values()),
        left_out=_left_out(others) + tuple(f"run a second time: seed {seed}" for seed in again),
        diverged=any(run.state == "diverged" for run in members.runs),
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _left_out(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    reasons: dict[str, list[int]] = {}
    for run in runs:
        reason = "not evaluated" if run.state == "finished" else run.state
        reasons.setdefault(reason, []).append(run.seed)
    return tuple(
        f"{reason}: {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, sorted(seeds)))}"
        for reason, seeds in reasons.items()
    )


@dataclasses.dataclass(frozen=True)
class Improvement:
    """The probability that a run of one method scores higher than one of another, over the tasks that both have."""

    method: str
    other: str
    tasks: tuple[str, ...]
    probability: float
    interval: Interval | None

    def as_record(self) -> dict[str, Any]:
        """Everything as JSON."""
        ends = None if self.interval is None else list(self.interval)
        return vars(self) | {"tasks": list(self.tasks), "interval": ends}


def improvements(groups: Sequence[Group]) -> list[Improvement]:
    """Every pair of methods on the tasks where both have scores of the same measure, each pair once."""
    methods: dict[str, dict[str, Group]] = {}
    for group in groups:
        if group.is_scored:
            methods.setdefault(group.method, {})[group.task] = group
    names, pairs = list(methods), []
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            mine, theirs = methods[name], methods[other]
            tasks = tuple(task for task in mine if task in theirs and mine[task].measure == theirs[task].measure)
            if tasks:
                scores = [[np.array(of[task].scores) for task in tasks] for of in (mine, theirs)]
                found = interval(improvement, *scores)
                pairs.append(Improvement(name, other, tasks, float(improvement(*scores)), found))
    return pairs


COLUMNS = {
    "task": "task",
    "method": "method",
    "mean": "mean",
    "standard_deviation": "std",
    "iqm": "IQM",
    "interval": "95 % interval of the IQM",
    "basis": "made from",
}


INTERVALS = (
    f"IQM: interquartile mean. Intervals: 95 %, stratified bootstrap of {RESAMPLES:,} resamples (Agarwal et al., "
    f"NeurIPS 2021)."
)
"""What the columns of a table are."""


def cells(group: Group) -> dict[str, str]:
    """The texts of a row; `-` for what does not exist."""
    numbers, places = group.statistics(), DIGITS[group.measure or "success"]

    def text(name: str) -> str:
        value = numbers[name]
        return "-" if value is None else f"{value:.{places}f}"

    ends = f"[{text('iqm_low')}, {text('iqm_high')}]" if numbers["iqm_low"] is not None else "-"
    row = {name: text(name) for name in ("mean", "standard_deviation", "iqm")}
    return {"task": group.task, "method": group.method, **row, "interval": ends, "basis": group.basis()}


def as_json(groups: Sequence[Group]) -> dict[str, Any]:
    """Groups and pairs, with every score."""
    return {
        "groups": [group.as_record() for group in groups],
        "improvements": [pair.as_record() for pair in improvements(groups)],
    }


def write_summary(folder: Path) -> None:
    """Write `summary.json` about all runs in a folder.

    Raises:
        DataError: if a run there cannot be read.
        OSError: if the disk cannot be written to.
    """
    write_json(folder / SUMMARY, as_json(grouped(runs_in([folder]))))


def as_csv(groups: Sequence[Group]) -> str:
    """One line per run that has a score, for one's own statistics."""
    names = sorted({name for group in groups for name in group.values})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["task", "algorithm", *names, "seed", "measure", "score"])
    for group in groups:
        values = [_short(group.values[name]) if name in group.values else "" for name in names]
        for seed, score in zip(group.seeds, group.scores, strict=True):
            writer.writerow([group.task, group.algorithm, *values, seed, group.measure, repr(score)])
    return file.getvalue()


def as_latex(groups: Sequence[Group]) -> str:
    """A `tabular` of booktabs, to be included in a paper; what it was made from stands below it as comments."""
    names = [name for name in COLUMNS if name != "basis"]
    head = " & ".join(_escaped(COLUMNS[name]) for name in names)
    lines = [r"\begin{tabular}{llrrrl}", r"\toprule", rf"{head} \\", r"\midrule"]
    rows = [cells(group) for group in groups]
    lines += [" & ".join(_escaped(row[name]) for name in names) + r" \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [f"% {row['task']}, {row['method']}: {row['basis']}" for row in rows]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(character, "\\textbackslash " if character == "\\" else f"\\{character}")
    return text


def as_markdown(groups: Sequence[Group]) -> str:
    """A table for a page or an issue."""
    rows = [list(COLUMNS.values()), ["---"] * len(COLUMNS), *(list(cells(group).values()) for group in groups)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
