"""`drol summary`: scores by task, method and swept value, with their uncertainty."""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from drol.cli.terminal import SIMPLE, Column, Console, Table
from drol.files import counted, refuse_folder, write_atomic, write_json
from drol.report import summary
from drol.report.runs import runs_in
from drol.report.summary import Group, Improvement

MOST_PAIRS = 15


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="folders of runs, searched with everything below them"
    )
    for name, what in (
        ("json", "everything, with every score and the intervals of both means"),
        ("csv", "one line per run, for statistics of your own"),
        ("latex", "the table as a tabular of booktabs"),
        ("markdown", "the table in Markdown"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what}")
    parser.epilog = (
        "A run's score is the mean of its last three evaluations; no checkpoint is selected. Runs that\n"
        "differ in anything but their seed are different rows.\n" + "\n".join(textwrap.wrap(summary.INTERVALS, 100))
    )


def run(parsed: argparse.Namespace) -> int:
    """Print the tables, and write the requested files."""
    files = [path for path in (parsed.json, parsed.csv, parsed.latex, parsed.markdown) if path is not None]
    for path in files:
        refuse_folder(path)
    groups = summary.grouped(runs_in(parsed.folders))
    show(groups)
    if parsed.json is not None:
        write_json(parsed.json, summary.as_json(groups))
    texts = {parsed.csv: summary.as_csv, parsed.latex: summary.as_latex, parsed.markdown: summary.as_markdown}
    for path, text in texts.items():
        if path is not None:
            content = text(groups).encode()
            write_atomic(path, lambda file, content=content: file.write(content))
    return 0


def show(groups: Sequence[Group]) -> None:
    """Print the table of groups, and how likely each method is to beat each other one."""
    console = Console()
    names = [name for name in summary.COLUMNS if name != "basis"]
    table = Table(*(Column(summary.COLUMNS[name], overflow="fold") for name in names), box=SIMPLE)
    rows = [summary.cells(group) for group in groups]
    for row in rows:
        table.add_row(*(row[name] for name in names))
    console.print(table)
    bases = {row["basis"] for row in rows}
    for line in bases if len(bases) == 1 else [f"{row['task']}, {row['method']}: {row['basis']}" for row in rows]:
        print(f"scores: {line}" if len(bases) == 1 else line)
    pairs = summary.improvements(groups)
    if pairs:
        print("Probability that a run of the one scores higher than a run of the other (95 % interval):")
    for pair in pairs[:MOST_PAIRS]:
        print(f"  {_sentence(pair)}")
    if len(pairs) > MOST_PAIRS:
        print(f"  ... ({len(pairs)} pairs in all, in summary.json or with --json)")


def _sentence(pair: Improvement) -> str:
    ends = "" if pair.interval is None else f" [{pair.interval.low:.2f}, {pair.interval.high:.2f}]"
    return f"{pair.method} over {pair.other}: {pair.probability:.2f}{ends}, {counted(len(pair.tasks), 'task')}"
