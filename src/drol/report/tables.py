"""The table of a comparison, made from its folder of results alone."""

from pathlib import Path
from typing import Any

from drol.files import DataError, read_json
from drol.presets import TITLES
from drol.report.comparison import Budget, Comparison, load
from drol.report.figure import DIGITS, MEASURES, RULES, Measure

SPEED = "speed.json"
NOT_RUN = "not run"
NOT_MEASURED = "not measured"


def table(results: Path) -> str:
    """The table in Markdown: one row per method, its figure on each task, speed.

    Args:
        results: the folder `results` of a comparison.

    Raises:
        DataError: if it holds no comparison, a file is damaged, or results of a task come from different data.
    """
    heading, *rows = cells(results)
    first, *others = (f"| {' | '.join(line)} |\n" for line in (heading, *rows))
    return "".join([first, "|" + "---|" * len(heading) + "\n", *others])


def caption(results: Path) -> str:
    """What the table's numbers are, in one sentence or two."""
    comparison = load(results)
    measures = {_measure(_results(results, task, comparison)) for task in comparison.tasks}
    said = "; ".join(
        f"{MEASURES[measure]}: {'last evaluation' if count == 1 else 'mean of the last three evaluations'}"
        for measure, count in RULES.items()
        if measure in measures
    )
    count = len(comparison.seeds)
    seeds = ", ".join(map(str, comparison.seeds))
    spread = f"mean ± sample standard deviation over {count} seeds ({seeds})" if count > 1 else f"seed {seeds}"
    return (
        f"{said[0].upper()}{said[1:]} ({comparison.eval_episodes} episodes each), size {comparison.size}; {spread}. "
        f"{_budgets(comparison)}"
    )


def cells(results: Path) -> list[list[str]]:
    """The table's cells as text, the headings first.

    Raises:
        DataError: as `table`.
    """
    comparison = load(results)
    speed = read_json(results / SPEED)["records"] if (results / SPEED).exists() else {}
    found = {task: _results(results, task, comparison) for task in comparison.tasks}
    measures: dict[str, Measure] = {task: _measure(results) for task, results in found.items()}
    # Success needs no word; other measures are named beside their task.
    names = [f"`{task}`" + ("" if measures[task] == "success" else f", {MEASURES[measures[task]]}") for task in found]
    lines = [["method", *names, "updates/s", "ms per action"]]
    known = list(TITLES)
    for name in sorted(comparison.algorithms, key=lambda name: known.index(name) if name in known else len(known)):
        figures = [_figure(found[task].get(name), comparison, task) for task in comparison.tasks]
        record = speed.get(name, {})
        rates = [
            f"{record[key]:.{digits}f}" if key in record else NOT_MEASURED
            for key, digits in (("updates_per_second", 1), ("act_ms", 2))
        ]
        lines.append([TITLES.get(name, name), *figures, *rates])
    return lines


def _budgets(comparison: Comparison) -> str:
    """How long was trained: once for all tasks, or task by task where that differs."""
    tasks: dict[Budget, list[str]] = {}
    for task, budget in comparison.tasks.items():
        tasks.setdefault(budget, []).append(f"`{task}`")
    said = {budget: f"{budget.updates:,} updates, evaluated every {budget.eval_every:,}" for budget in tasks}
    if len(tasks) == 1:
        return f"Every run: {next(iter(said.values()))}."
    return "; ".join(f"{', '.join(names)}: {said[budget]}" for budget, names in tasks.items()) + "."


def _results(results: Path, task: str, comparison: Comparison) -> dict[str, dict[str, Any]]:
    """The results of a task by algorithm."""
    paths = {name: results / task / f"{name}.json" for name in comparison.algorithms}
    found = {name: read_json(path) for name, path in paths.items() if path.exists()}
    names = list(found)
    for name in names:
        if found[name]["data"] != found[names[0]]["data"]:
            raise DataError(
                f"{paths[names[0]]} and {paths[name]} come from different data, and cannot stand in one table; run one "
                f"of them again"
            )
    measures = {result["measure"] for result in found.values()} - {None}
    if len(measures) > 1:
        raise DataError(f"the results in {results / task} measure different things: {', '.join(sorted(measures))}")
    return found


def _measure(found: dict[str, dict[str, Any]]) -> Measure:
    """What the results of a task measure; success where none says."""
    return next((result["measure"] for result in found.values() if result["measure"] is not None), "success")


def _figure(result: dict[str, Any] | None, comparison: Comparison, task: str) -> str:
    if result is None:
        return NOT_RUN
    seeds, figure = result["seeds"], result["figure"]
    diverged = sum(seed["diverged"] for seed in seeds.values())
    if diverged:
        text = f"diverged ({diverged} of {len(seeds)} seeds)"
    elif figure is None:
        text = "not evaluated"
    else:
        spread, digits = figure["standard_deviation"], DIGITS[result["measure"]]
        text = f"{figure['mean']:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")
    # A cell that was not extended together with the others says so.
    notes = [f"{result['updates']:,} updates"] if result["updates"] != comparison.tasks[task].updates else []
    notes += [f"seeds {', '.join(seeds)}"] if set(seeds) != set(map(str, comparison.seeds)) else []
    return text + "".join(f" ({note})" for note in notes)
