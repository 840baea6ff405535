"""`drol runs`: list runs with their state, progress and last score."""

import argparse
from pathlib import Path

from drol.cli.terminal import SIMPLE, Column, Console, Table
from drol.report.figure import DIGITS, MEASURES
from drol.report.runs import RunRecord, runs_in


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        default=[Path("runs")],
        metavar="DIR",
        help="folders of runs, searched with everything below them (default: runs)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Print one line per run."""
    names = ("folder", "task", "algorithm", "seed", "state", "update", "last evaluation", "figure")
    table = Table(*(Column(name, overflow="fold") for name in names), box=SIMPLE)
    for record in runs_in(parsed.folders):
        progress = f"{record.update:,} of {record.updates:,}"
        words = (str(record.folder), record.task, record.algorithm, str(record.seed), record.state, progress)
        table.add_row(*words, last_evaluation(record), figure_of(record))
    Console().print(table)
    return 0


def last_evaluation(record: RunRecord) -> str:
    """The measure of the newest evaluation, and where it was; `-` if there was none."""
    for measure in MEASURES:
        lines = [line for line in record.lines if line.get(f"evaluation/{measure}") is not None]
        if lines:
            return f"{MEASURES[measure]} {lines[-1][f'evaluation/{measure}']:.{DIGITS[measure]}f}"
    return "-"


def figure_of(record: RunRecord) -> str:
    """The mean of the last evaluations and their number; `-` if there were none, or the run diverged."""
    found = record.figure
    if found is None:
        return "-"
    return f"{found.value:.{DIGITS[found.measure]}f} (last {found.evaluations})"
