"""`drol doctor`: examine a data set before training on it."""

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drol.cli.numbers import seed
from drol.cli.options import add_bounds, add_columns, bounds_of
from drol.cli.terminal import Console, Table, Text
from drol.experiment import needs
from drol.extras import lazy, quiet, require_all
from drol.files import write_json
from drol.sources import environment_of, read_log

if TYPE_CHECKING:
    import gymnasium

    from drol import doctor
    from drol.data import files, mapped, units
    from drol.data.log import Log
    from drol.doctor import Finding, Report
    from drol.doctor.findings import Coverage
    from drol.environments import spec
else:
    doctor, spec = lazy("drol.doctor"), lazy("drol.environments.spec")
    files, mapped, units = lazy("drol.data.files"), lazy("drol.data.mapped"), lazy("drol.data.units")

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", metavar="DATA", help="a task or data set by name, or a file")
    parser.add_argument("--data", type=Path, metavar="FILE", help="the data set's file, if not in its usual folder")
    parser.add_argument(
        "--env",
        metavar="ENV",
        help="replay logged actions in this environment: a task, or\na gymnasium id (MODULE:ID imports MODULE first)",
    )
    add_bounds(parser)
    add_columns(parser)
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="seed of the samples (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write findings and figures to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Examine and print, and write JSON if requested; returns 1 if an error was found."""
    require_all(needs.of_data(parsed.dataset) | needs.of_environment(parsed.env))
    path, bounds = Path(parsed.dataset).expanduser(), bounds_of(parsed.action_low, parsed.action_high)
    with contextlib.ExitStack() as stack:
        columns = parsed.columns or {}
        is_large = path.exists() and files.is_large(path, columns=columns)
        room = stack.enter_context(mapped.scratch()) if is_large else None
        log = read_log(parsed.dataset, parsed.data, folder=room, columns=columns)
        for note in log.notes:
            print(f"note: {note}")
        env = None if parsed.env is None else _environment(parsed.env)
        report = doctor.examine(_bounded(log, env, bounds), env, seed=parsed.seed)
    _show(report)
    if parsed.json is not None:
        write_json(parsed.json, report.as_json())
    return 1 if report.of("error") else 0


def _environment(name: str) -> "gymnasium.Env | None":
    """The environment called `name`."""
    found = environment_of(name)
    with quiet():
        return found and found.make()


def _bounded(log: "Log", env: "gymnasium.Env | None", bounds: tuple[np.ndarray, np.ndarray] | None) -> "Log":
    """The log with the bounds that training would use: those given, its own, or the environment's."""
    if bounds is None and log.action_low is None and env is not None:
        bounds = spec.action_bounds(env.action_space)
    if bounds is None:
        return log
    low, high = (units.bound_for(log.actions.shape[-1], bound) for bound in bounds)
    return dataclasses.replace(log, action_low=low, action_high=high)


def _show(report: "Report") -> None:
    """The verdict, the findings, the figures."""
    console = Console(highlight=False)
    worst = report.findings[0].severity if report.findings else "note"
    console.print(report.verdict, style=COLOURS[worst] if worst != "note" else "bold green", markup=False)
    facts = report.facts
    plural = "" if facts["episodes"] == 1 else "s"
    console.print(
        f"{facts['transitions']:,} transitions, {facts['episodes']:,} episode{plural}, observation "
        f"{facts['observation_dim']}, action {facts['action_dim']}, {facts['bytes'] / 1e6:.1f} MB, examined in "
        f"{facts['seconds']:.1f} s",
        markup=False,
    )
    for finding in report.findings:
        console.print()
        _show_finding(console, finding)
    if "episodes" in report.coverage:
        console.print()
        _show_coverage(console, report.coverage)


def _show_finding(console: Console, finding: "Finding") -> None:
    console.print(Text(f"{finding.severity}: {finding.name}", COLOURS[finding.severity]), end="  ")
    console.print(finding.what, markup=False)
    if finding.rows:
        more = ", ..." if finding.count > len(finding.rows) else ""
        rows = ", ".join(map(str, finding.rows))
        console.print(f"  where   row{'s' if finding.count > 1 else ''} {rows}{more} ({finding.count} in all)")
    console.print(f"  why     {finding.why}", markup=False)
    console.print(f"  remedy  {finding.remedy}", markup=False)


def _show_coverage(console: Console, figures: "Coverage") -> None:
    names = list(figures["lengths"])
    table = Table("", *names, title="Coverage")
    for label, row in (("length", figures["lengths"]), ("return", figures["returns"])):
        if row is not None:
            table.add_row(label, *(f"{row[name]:.6g}" for name in names))
    console.print(table)
    ends = f"{100 * figures['ends_terminated']:.1f} % of the episodes end terminated"
    if figures["ends_truncated"] is not None:
        ends += f", {100 * figures['ends_truncated']:.1f} % truncated"
    console.print(f"{ends}. {100 * figures['rows_terminated']:.2f} % of all transitions are terminated.")
    actions = Table("action", "mean", "std", "min", "max", "at a bound")
    for number, row in enumerate(figures["actions"]):
        numbers = [f"{row[key]:.3g}" for key in ("mean", "std", "min", "max")]
        actions.add_row(str(number), *numbers, f"{100 * row['at_bound']:.1f} %")
    console.print(actions)
    modes = figures["modes"]
    if modes is not None:
        console.print(
            f"In similar states of other episodes, actions vary by {100 * modes['spread']:.0f} % of their total "
            f"variance, with about {modes['modes']:.2f} modes (90 % of states: at most {modes['modes_90%']:.0f}). "
            f"A hint only: {modes['candidates_hint']} candidate{'s' if modes['candidates_hint'] != 1 else ''}, about "
            f"4 per mode."
        )
    replay = figures.get("replay")
    if replay is not None and "steps" in replay:
        console.print(
            f"Replay of {replay['steps']} steps: median drift {replay['drift_median']:.2g} of a typical step, "
            f"{replay['drift_max']:.2g} at most."
        )
