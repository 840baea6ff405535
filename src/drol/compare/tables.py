"""The table of a comparison, made only from its folder of results."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from drol.compare.comparison import Budget, Comparison, load
from drol.compare.methods import Method
from drol.errors import DataError
from drol.files import read_json
from drol.presets import SIZES, TITLES
from drol.report.figure import DIGITS, MEASURES, Measure
from drol.report.summary import Group
from drol.training.settings import LAST_EVALUATIONS

SPEED = "speed.json"
NOT_RUN = "not run"
NOT_MEASURED = "not measured"

Results = dict[str, dict[str, Any]]
"""The stored results by the name of their method."""

SAID = ("no", "one", "two", "three")
"""Counts of evaluations in words."""

PARTS = {"data", "figure", "hyperparameters", "measure", "seeds", "size", "updates"}
"""What the result of a cell must hold for the table."""


def table(results: Path) -> str:
    """The table in Markdown: one row per method, its figure on each task, speed.

    Args:
        results: the folder `results` of a comparison.

    Raises:
        DataError: if it holds no comparison, a file is damaged, or results of a task come from different data.
    """
    heading, *rows = cells(results, quote="`")
    first, *others = (f"| {' | '.join(line)} |\n" for line in (heading, *rows))
    return "".join([first, "|" + "---|" * len(heading) + "\n", *others])


def caption(results: Path, quote: str = "`") -> str:
    """What the table's numbers are, in a few sentences, taken entirely from the results of the cells.

    Args:
        results: the folder `results` of a comparison.
        quote: the quotation mark around the names of tasks.

    Raises:
        DataError: as in `table`.
    """
    comparison = load(results)
    found = {task: _results(results, task, comparison) for task in comparison.tasks}
    count = len(comparison.seeds)
    seeds = ", ".join(map(str, comparison.seeds))
    spread = f"mean ± sample standard deviation over {count} seeds ({seeds})" if count > 1 else f"seed {seeds}"
    episodes = f"({comparison.eval_episodes} episode{'s' if comparison.eval_episodes > 1 else ''} each)"
    averages = _averages(found)
    said = f"{averages[0].upper()}{averages[1:]} {episodes}" if averages else "No run has been evaluated"
    said += f"{',' if averages else ';'} {_widths(comparison, found)}; {spread}"
    return f"{said}. {_budgets(comparison, quote)}"


def cells(results: Path, quote: str = "") -> list[list[str]]:
    """The table's cells as text, headings first.

    Args:
        results: the folder `results` of a comparison.
        quote: the quotation mark around the names of tasks.

    Raises:
        DataError: as in `table`.
    """
    comparison, speed = load(results), _speeds(results / SPEED)
    found = {task: _results(results, task, comparison) for task in comparison.tasks}
    measures: dict[str, Measure] = {task: _measure(results) or "success" for task, results in found.items()}
    digits = {task: _digits(measures[task], results.values()) for task, results in found.items()}
    # Success needs no word; other measures are named next to their task.
    words = {task: "" if measures[task] == "success" else f", {MEASURES[measures[task]]}" for task in found}
    lines = [["method", *(f"{quote}{task}{quote}{words[task]}" for task in found), "updates/s", "ms per action"]]
    for method in _in_order(comparison):
        figures = [_figure(found[task].get(method.name), comparison, task, digits[task]) for task in comparison.tasks]
        record = speed.get(method.name, {})
        rates = [
            f"{record[key]:.{digits}f}" if key in record else NOT_MEASURED
            for key, digits in (("updates_per_second", 1), ("act_ms", 2))
        ]
        lines.append([method.title, *figures, *rates])
    return lines


def groups(results: Path) -> list[Group]:
    """The scores of all cells, for statistics and their uncertainty.

    Raises:
        DataError: as in `table`.
    """
    comparison = load(results)
    found = []
    for task in comparison.tasks:
        stored = _results(results, task, comparison)
        for method in _in_order(comparison):
            if method.name in stored:
                found.append(_group(task, method, stored[method.name], comparison.eval_episodes))
    return found


def _in_order(comparison: Comparison) -> list[Method]:
    """The methods as the registry lists them; one that is varied in the order of its values."""
    ranks = {name: rank for rank, name in enumerate(TITLES)}
    return sorted(comparison.methods, key=lambda method: ranks.get(method.algorithm, len(ranks)))


def _group(task: str, method: Method, result: Mapping[str, Any], episodes: int) -> Group:
    scored = {seed: record for seed, record in result["seeds"].items() if record["figure"] is not None}
    counts = [min(len(record["evaluations"]), LAST_EVALUATIONS) for record in scored.values()]
    diverged = [seed for seed, record in result["seeds"].items() if record["diverged"]]
    return Group(
        task=task,
        method=method.title,
        algorithm=method.algorithm,
        values=dict(method.values),
        seeds=tuple(map(int, scored)),
        scores=tuple(float(record["figure"]) for record in scored.values()),
        measure=result["measure"],
        evaluations=(min(counts, default=0), max(counts, default=0)),
        episodes=episodes * sum(counts),
        left_out=(f"diverged: seeds {', '.join(diverged)}",) if diverged else (),
        diverged=bool(diverged),
    )


def _averages(found: Mapping[str, Results]) -> str:
    """Which evaluations the figures average, by measure; empty if there was none."""
    counts: dict[Measure, set[int]] = {}
    for results in found.values():
        if (measure := _measure(results)) is not None:
            evaluations = [len(seed["evaluations"]) for result in results.values() for seed in result["seeds"].values()]
            counts.setdefault(measure, set()).update(min(count, LAST_EVALUATIONS) for count in evaluations if count)
    return "; ".join(f"{MEASURES[name]}: {_of_evaluations(counts[name])}" for name in MEASURES if counts.get(name))


def _of_evaluations(counts: set[int]) -> str:
    if counts == {1}:
        return "last evaluation"
    if len(counts) == 1:
        return f"mean of the last {SAID[max(counts)]} evaluations"
    return f"mean of the last {SAID[min(counts)]} to {SAID[max(counts)]} evaluations, as many as a run has"


def _widths(comparison: Comparison, found: Mapping[str, Results]) -> str:
    """The networks of the cells: the size or widths that most have, and the methods that have others."""
    titles = {method.name: method.title for method in comparison.methods}
    cells: dict[tuple[int, ...], dict[str, list[str]]] = {}
    for task, results in found.items():
        for name, result in results.items():
            if widths := result["hyperparameters"].get("hidden"):
                cells.setdefault(tuple(widths), {}).setdefault(titles[name], []).append(task)
    expected = comparison.hidden or SIZES[comparison.size].hidden
    main = expected if expected in cells or not cells else max(cells, key=lambda widths: len(cells[widths]))
    named = main == SIZES[comparison.size].hidden
    text = f"size {comparison.size}" if named else f"hidden widths {', '.join(map(str, main))}"
    for widths, methods in cells.items():
        if widths != main:
            who = [
                method if len(tasks) == len(comparison.tasks) else f"{method} on {' and '.join(tasks)}"
                for method, tasks in methods.items()
            ]
            has = "has" if len(who) == 1 else "have"
            text += f", but {' and '.join(who)} {has} hidden widths {', '.join(map(str, widths))}"
    return text


def _budgets(comparison: Comparison, quote: str) -> str:
    """How long the runs are: once for all tasks, or task by task if that differs."""
    tasks: dict[Budget, list[str]] = {}
    for task, budget in comparison.tasks.items():
        tasks.setdefault(budget, []).append(f"{quote}{task}{quote}")
    said = {budget: f"{budget.updates:,} updates, evaluated every {budget.eval_every:,}" for budget in tasks}
    if len(tasks) == 1:
        return f"Every run: {next(iter(said.values()))}."
    return "; ".join(f"{', '.join(names)}: {said[budget]}" for budget, names in tasks.items()) + "."


def _speeds(path: Path) -> Results:
    """The measured speeds by the name of the method; none if they were not measured.

    Raises:
        DataError: if the file holds something else.
    """
    if not path.exists():
        return {}
    stored = read_json(path)
    records = stored.get("records") if isinstance(stored, dict) else None
    if not isinstance(records, dict) or not all(isinstance(record, dict) for record in records.values()):
        raise DataError(f"{path} does not hold measured speeds; measure them again with --speed")
    return records


def _results(results: Path, task: str, comparison: Comparison) -> Results:
    """The results of a task by method."""
    paths = {method.name: results / task / f"{method.name}.json" for method in comparison.methods}
    found = {name: read_json(path) for name, path in paths.items() if path.exists()}
    for name, result in found.items():
        if not isinstance(result, dict) or not set(result) >= PARTS:
            raise DataError(f"{paths[name]} is not the result of a cell; remove it and run `drol compare` again")
    names = list(found)
    for name in names:
        if found[name]["data"] != found[names[0]]["data"]:
            raise DataError(
                f"{paths[names[0]]} and {paths[name]} come from different data and cannot share one table; run one "
                f"of them again"
            )
    measures = {result["measure"] for result in found.values()} - {None}
    if len(measures) > 1:
        raise DataError(f"the results in {results / task} measure different things: {', '.join(sorted(measures))}")
    return found


def _measure(found: Results) -> Measure | None:
    """What the results of a task measure; None if none was evaluated."""
    return next((result["measure"] for result in found.values() if result["measure"] is not None), None)


def _digits(measure: Measure, found: Iterable[Mapping[str, Any]]) -> int:
    """Decimals of a column. Returns are in the units of the task's rewards: the largest keeps at least three digits."""
    means = [abs(result["figure"]["mean"]) for result in found if result["figure"] is not None]
    if measure != "return" or not max(means, default=0):
        return DIGITS[measure]
    return max(DIGITS[measure], 2 - math.floor(math.log10(max(means))))


def _figure(result: dict[str, Any] | None, comparison: Comparison, task: str, digits: int) -> str:
    if result is None:
        return NOT_RUN
    seeds, figure = result["seeds"], result["figure"]
    diverged = sum(seed["diverged"] for seed in seeds.values())
    if diverged:
        text = f"diverged ({diverged} of {len(seeds)} seeds)"
    elif figure is None:
        text = "not evaluated"
    else:
        spread = figure["standard_deviation"]
        text = f"{figure['mean']:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")
    # Notes on a cell that was not extended together with the others.
    notes = [f"{result['updates']:,} updates"] if result["updates"] != comparison.tasks[task].updates else []
    notes += [f"seeds {', '.join(seeds)}"] if set(seeds) != set(map(str, comparison.seeds)) else []
    return text + "".join(f" ({note})" for note in notes)
