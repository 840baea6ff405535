"""`drol compare`: train and evaluate every method on the same data, cell by cell, and make a table."""

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.cli import compared, launchers
from drol.cli import summary as summaries
from drol.cli.numbers import count
from drol.cli.options import add_columns, add_limits
from drol.cli.output import say
from drol.cli.several import seed_list
from drol.cli.terminal import SIMPLE, Column, Console, Table, Text
from drol.cli.varied import by_algorithm, together, words
from drol.compare import comparison as comparisons
from drol.compare import tables
from drol.compare.cells import RESULTS, Cell
from drol.compare.comparison import Budget, Comparison
from drol.data.readers.columns import columns_as_text
from drol.environments.limits import DEFAULT
from drol.errors import DataError
from drol.experiment import needs
from drol.experiment.platform import check_platform
from drol.extras import lazy, require_all
from drol.files import read_json, write_atomic, write_json
from drol.launchers.job import LOST, Job, Launcher
from drol.launchers.local import Commands
from drol.presets import SIZES
from drol.report import summary
from drol.signals import StoppedError
from drol.sources import NOWHERE, Task, environment_of_task

if TYPE_CHECKING:
    from drol.benchmarks import peers
else:
    peers = lazy("drol.benchmarks.peers")

EPISODES = {"cube-single-play-v0": 150, "pointmaze-medium-navigate-v0": 100}
"""How many episodes are collected by default, by data set."""

TASKS = ("cube-single-play-singletask-task2-v0", "pointmaze-medium-navigate-singletask-task1-v0")

COMMAND = (sys.executable, "-m", "drol.cli.main")
"""This program, to be run in a separate process."""

COMPARED = tuple(name for name in ALGORITHMS if name not in ("bfn", "sac", "rlpd"))
"""The methods of the paper's tables, which are compared by default."""


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    fields = {field.name: field.default for field in (*dataclasses.fields(Comparison), *dataclasses.fields(Budget))}
    parser.epilog = (
        "Stop it with Ctrl-C or SIGTERM, and rerun the same command to continue; nothing is trained twice. Options\n"
        "that are not given stay as they were when the folder was begun; --updates MORE extends all cells, or those\n"
        "of the TASKs that are named; further seeds are added."
    )
    parser.add_argument("task", nargs="*", metavar="TASK", help=f"default: {' '.join(TASKS)}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the comparison's folder")
    parser.add_argument("--algorithms", type=_names, metavar="A,B", help=f"default: {','.join(COMPARED)}")
    parser.add_argument(
        "--seeds", type=seed_list, metavar="LIST", help="seeds, for instance 0-7 or 0,3,5 (default: 0-2)"
    )
    parser.add_argument(
        "--vary",
        type=words,
        action="append",
        default=[],
        metavar="NAME=V1,V2,...",
        help="train methods that have this hyperparameter at each of these values, as\nnum_candidates=4,16,64; also "
        "chunk, n_step and replan. May be repeated: every\ncombination becomes a row of the table",
    )
    parser.add_argument("--size", choices=tuple(SIZES), help=f"size of the networks (default: {fields['size']})")
    parser.add_argument("--hidden", type=count(), nargs="+", metavar="N", help="hidden widths (default: the size's)")
    for option, help in (
        ("--updates", "updates per run"),
        ("--eval-every", "updates between evaluations"),
        ("--eval-episodes", "episodes per evaluation"),
    ):
        default = fields[option[2:].replace("-", "_")]
        parser.add_argument(option, type=count(), metavar="N", help=f"{help} (default: {default:,})")
    collected = ", ".join(f"{count} for {name}" for name, count in EPISODES.items())
    parser.add_argument(
        "--collect", type=count(), metavar="N", help=f"episodes to collect for each data set\n(default: {collected})"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="TASK=FILE", help="a task's training file; may be repeated"
    )
    parser.add_argument("--env", metavar="ENV", help="evaluate in this gymnasium environment, as `drol train` does")
    add_columns(parser)
    add_limits(parser, "eval-")
    parser.add_argument("--workers", type=count(), metavar="W", help="processes for collection and evaluation")
    parser.add_argument(
        "--no-train", dest="train", action="store_false", help="train nothing: only collect results and make the table"
    )
    parser.add_argument(
        "--speed",
        action=argparse.BooleanOptionalAction,
        help="measure speeds again, or not at all (default: once, after training)",
    )
    launchers.add_options(parser)


def run(parsed: argparse.Namespace) -> int:
    """Train what is missing, collect results, measure speeds, print and write the table."""
    launchers.check(parsed)
    results = parsed.out / RESULTS
    begun = comparisons.load(results) if (results / comparisons.FILE).exists() else None
    if begun is not None:
        _refuse_unnamed(parsed, begun, results / comparisons.FILE)
    names = compared.names(parsed, begun, TASKS)
    environment = parsed.env or (begun and begun.env)
    _require([name or given for given, name in names.items()], environment, train=parsed.train)
    if parsed.train or parsed.speed:
        check_platform()
    tasks = compared.named_tasks(names, environment)
    compared.refuse_foreign(parsed.out, tasks)
    algorithms = _algorithms(parsed.algorithms or (begun.algorithms if begun else None))
    comparison = _comparison(parsed, set(tasks), set(algorithms), begun)
    methods = comparison.methods_of(algorithms)
    cells = {label: [Cell(parsed.out, label, method) for method in methods] for label in tasks}
    if not parsed.train and begun is None and not any(cell.path.is_dir() for row in cells.values() for cell in row):
        raise DataError(f"{parsed.out} holds no runs: without training there is nothing to collect")
    files = _checked_files(parsed, comparison, tasks, cells)
    try:
        with Commands(parsed.jobs) as commands:
            launcher = launchers.launcher(parsed, commands)
            comparison.save(results)
            compared.save_names(parsed.out, tasks)
            failures = _train_cells(parsed, comparison, tasks, cells, files, commands, launcher)
            commands.raise_if_stopped()  # by a signal that came after the last command
    except StoppedError as stop:
        print("stopped; run the same command again to resume")
        return 128 + stop.number
    if parsed.emit is not None:
        return _reported(failures)
    if parsed.speed or (parsed.train and parsed.speed is None):
        _measure_speed(comparison, results / tables.SPEED, again=bool(parsed.speed))
    _show(results)
    return _reported(failures)


def _reported(failures: list[str]) -> int:
    """The exit status, after saying what failed."""
    for failure in failures:
        say(f"drol: error: {failure}")
    return 1 if failures else 0


def _require(tasks: Iterable[str], environment: str | None, *, train: bool) -> None:
    """Check that what the tasks need is installed."""
    needed = dict(needs.RUNS) if train else {}
    for task in tasks:
        needed |= needs.of_data(task) | (needs.of_evaluation(task, environment) if train else {})
    require_all(needed)


def _refuse_unnamed(parsed: argparse.Namespace, begun: Comparison, file: Path) -> None:
    """Refuse to import modules that the folder's file names and the user does not.

    Raises:
        DataError: saying what to add to the command.
    """
    if unnamed := [name for name in begun.algorithms if ":" in name and name not in (parsed.algorithms or ())]:
        raise DataError(
            f"{file} names the algorithm {unnamed[0]!r}, but a module is not imported just because a file names it; if "
            f"you trust it, name it yourself: add --algorithms {','.join(begun.algorithms)}"
        )
    if parsed.env is None and begun.env is not None and begun.env != NOWHERE:
        environment_of_task(begun.env, str(file))


def _names(text: str) -> list[str]:
    """A text such as `drol,fql` as names."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names like drol,fql, found {text!r}")
    return names


def _algorithms(names: Iterable[str] | None) -> list[str]:
    """The algorithms to compare, each once; by default those of the paper's tables.

    Raises:
        ValueError: for an unknown name; the message names the nearest.
    """
    for name in names or []:
        if name not in ALGORITHMS:
            algorithm_class(name)
    return list(dict.fromkeys(names or COMPARED))


def _comparison(
    parsed: argparse.Namespace, tasks: set[str], algorithms: set[str], begun: Comparison | None
) -> Comparison:
    """The comparison of this call, which extends the one in the folder if there is one."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name in ("size", "seeds", "eval_episodes", "hidden", "env", "columns")
        if (value := getattr(parsed, name)) is not None
    } | _limits(parsed)
    fields = together(parsed.vary, {} if begun is None else begun.vary)
    given["vary"] = by_algorithm(sorted({*algorithms, *(begun.algorithms if begun else ())}), fields)
    budget = {name: value for name in ("updates", "eval_every") if (value := getattr(parsed, name)) is not None}
    if begun is not None:
        return begun.extended(tasks=tasks, algorithms=algorithms, budget=budget, given=given)
    return Comparison(dict.fromkeys(sorted(tasks), Budget(**budget)), tuple(sorted(algorithms)), **given)


def _limits(parsed: argparse.Namespace) -> dict[str, Any]:
    """The evaluation limits that were given, by their fields in a comparison, where infinity is None."""
    given = {
        "eval_max_steps": parsed.max_steps,
        "eval_max_seconds": parsed.max_seconds,
        "step_seconds": parsed.step_seconds,
    }
    return {name: None if value == math.inf else value for name, value in given.items() if value is not None}


def _checked_files(
    parsed: argparse.Namespace, comparison: Comparison, tasks: dict[str, Task], cells: dict[str, list[Cell]]
) -> dict[str, Path]:
    """Training files by task, after checking that they and the existing cells belong to this comparison.

    Raises:
        DataError: naming what does not; nothing was written.
    """
    files = compared.training_files(parsed, tasks)
    for label, task in tasks.items():
        if parsed.collect is not None and label in files:
            print(f"note: {files[label]} exists and is used as it is")
        for cell in cells[label]:
            cell.check(comparison)
        compared.refuse_other_data(parsed.out, comparison, task, files.get(label))
        if parsed.train and any(cell.is_unfinished(comparison) for cell in cells[label]):
            compared.refuse_missing(task)
    return files


def _train_cells(
    parsed: argparse.Namespace,
    comparison: Comparison,
    tasks: dict[str, Task],
    cells: dict[str, list[Cell]],
    files: dict[str, Path],
    commands: Commands,
    launcher: Launcher,
) -> list[str]:
    """Train what is missing, where it is to be trained, and write results; returns failures, in words."""
    failures: list[str] = []
    work: dict[str, tuple[Cell, Job]] = {}
    for label, task in tasks.items():
        unfinished = [cell for cell in cells[label] if cell.is_unfinished(comparison)]
        for cell in cells[label]:
            if not parsed.train or cell not in unfinished:
                failures += _ended(cell, comparison, None, 0)
        file = files.get(label)
        if parsed.train and unfinished:
            try:
                file = _collected(parsed, task, commands) if file is None else file
            except DataError as error:
                failures.append(str(error))
                continue
            for cell in unfinished:
                job = _job(parsed, comparison, task, cell, file)
                work[job.name] = cell, job
    jobs = [job for _, job in work.values()]
    if parsed.emit is not None:
        launchers.emit(parsed.emit, jobs, parsed.launcher_option, parsed.out)
        return failures

    def begun(job: Job) -> None:
        state = work[job.name][0].state(comparison)
        print(f"{job.name}: {'resuming' if state == 'begun' else 'training'}", flush=True)

    def ended(job: Job, status: int) -> None:
        failures.extend(_ended(work[job.name][0], comparison, job.log, status))

    if jobs:
        launcher.launch(jobs, begun, ended)
    return failures


def _ended(cell: Cell, comparison: Comparison, log: Path | None, status: int) -> list[str]:
    """Write a cell's result, if it has one; returns failures, in words."""
    state = cell.state(comparison)
    if state in ("finished", "diverged"):
        cell.write_result(comparison)
    print(f"{cell.task}, {cell.method.name}: {state}", flush=True)
    if state == "diverged":
        return [f"{cell.path}: a run diverged; its diverged.json says where"]
    if status == LOST:
        return [f"{cell.path}: the machine that trained it was lost again and again; see {log}"]
    if status != 0:
        where = f"in {log}" if log else "above"
        return [f"{cell.path}: `drol train` ended with exit status {status}; its message is {where}"]
    return []


def _collected(parsed: argparse.Namespace, task: Task, commands: Commands) -> Path | None:
    """A task's data set, collected now; None if `drol train` is to look for the data itself.

    Raises:
        DataError: if the collection failed.
    """
    found = compared.collection(parsed.out, task)
    if found is None:
        return None
    dataset, path = found
    episodes = EPISODES.get(dataset) if parsed.collect is None else parsed.collect
    if episodes is None:
        return None
    options = ["--episodes", episodes, "--out", path, *_option("--workers", parsed.workers)]
    collecting = Job(f"data of {task.label}", (*COMMAND, "collect", dataset, *map(str, options)))
    if status := commands.run(collecting, alone=True):
        raise DataError(f"the data of {task.label} could not be collected (exit status {status}); see above")
    return path


def _job(parsed: argparse.Namespace, comparison: Comparison, task: Task, cell: Cell, file: Path | None) -> Job:
    """The command that trains a cell, or goes on with it."""
    budget = comparison.tasks[cell.task]
    options = [
        *("--algorithm", cell.method.algorithm, *cell.method.options()),
        *("--seeds", ",".join(map(str, comparison.seeds)), "--size", comparison.size),
        *("--updates", budget.updates, "--eval-every", budget.eval_every),
        *("--eval-episodes", comparison.eval_episodes, "--out", cell.path),
        *_option("--data", file),
        *_option("--env", comparison.env),
        *_option("--workers", parsed.workers),
        *_option("--columns", _columns(comparison, task)),
        *_option("--eval-max-steps", comparison.eval_max_steps),
        *_seconds(
            "--eval-max-seconds", comparison.eval_max_seconds, DEFAULT.seconds, always=parsed.max_seconds is not None
        ),
        *_seconds(
            "--step-seconds", comparison.step_seconds, DEFAULT.step_seconds, always=parsed.step_seconds is not None
        ),
        *(("--hidden", *comparison.hidden) if comparison.hidden else ()),
        "--requeue",
    ]
    alone = parsed.launcher == "local" and parsed.jobs == 1
    program = COMMAND if parsed.emit is None else ("drol",)
    command = (*program, "train", task.name, *map(str, options))
    return Job(f"{cell.task}, {cell.method.name}", command, None if alone else cell.log)


def _columns(comparison: Comparison, task: Task) -> str | None:
    """The names of arrays, if the task's data accept them."""
    return columns_as_text(comparison.columns) if comparison.columns and "columns" in task.source.accepts else None


def _option(name: str, value: str | int | float | Path | None) -> tuple[Any, ...]:
    return () if value is None else (name, value)


def _seconds(name: str, value: float | None, default: float | None, *, always: bool) -> tuple[Any, ...]:
    """The option for a time limit; `always` if it was given, since a run that has begun may have another."""
    return (name, "inf" if value is None else f"{value:.12g}") if always or value != default else ()


def _measure_speed(comparison: Comparison, path: Path, *, again: bool) -> None:
    """Measure all methods of the comparison side by side, unless that has been done."""
    if not again and path.exists():
        stored = read_json(path)
        if {method.name for method in comparison.methods} <= set(stored["records"]):
            return
    print("measuring speeds", flush=True)
    competitors = {
        method.name: peers.Competitor(method.algorithm, method.hyperparameters(), **method.run_options())
        for method in comparison.methods
    }
    measured = peers.bench_peers(comparison.size, competitors, hidden=comparison.hidden)
    records = {record["algorithm"]: record for record in measured}
    write_json(path, {"size": comparison.size, "records": dict(sorted(records.items()))})


def _show(results: Path) -> None:
    heading, *rows = tables.cells(results)
    # Names of tasks are long: they are wrapped, never truncated.
    shown = Table(*(Column(Text(name), overflow="fold") for name in heading), box=SIMPLE)
    for row in rows:
        shown.add_row(*map(Text, row))
    console = Console()
    console.print(shown)
    console.print(tables.caption(results, quote=""), highlight=False, markup=False)
    groups = tables.groups(results)
    text = f"{tables.table(results)}\n{tables.caption(results)}\n"
    if groups:
        summaries.show(groups)
        text += f"\n{summary.as_markdown(groups)}\n{summary.INTERVALS}\n"
    write_json(results / summary.SUMMARY, summary.as_json(groups))
    write_atomic(results / "table.md", lambda file: file.write(text.encode()))
    print(f"wrote {results / 'table.md'} and {results / summary.SUMMARY}")
