"""`drol train`: train policies on a task."""

import argparse
import functools
import itertools
from typing import TYPE_CHECKING

from drol.algorithms.registry import algorithm_class
from drol.cli.generated import add_hyperparameters, add_options, given_options
from drol.cli.numbers import count
from drol.cli.output import say
from drol.cli.parser import Parser
from drol.cli.several import seed_list, sweep
from drol.errors import UsageError
from drol.experiment.config import RunConfig
from drol.experiment.names import foreign_hyperparameter
from drol.extras import lazy

if TYPE_CHECKING:
    from drol.cli import report
    from drol.experiment import launch
else:
    report, launch = lazy("drol.cli.report"), lazy("drol.experiment.launch")


def add_arguments(parser: Parser, arguments: list[str]) -> None:
    """Declare the command's options, including those of the chosen algorithm."""
    run = add_options(parser)["the run"]
    run.add_argument(
        "--seeds",
        type=seed_list,
        metavar="LIST",
        help="several runs, for instance 0-7 or 0,3,5, each in its own folder",
    )
    run.add_argument(
        "--sweep",
        type=sweep,
        action="append",
        default=[],
        metavar="NAME=X,Y",
        help="several runs, one at each value of a continuous hyperparameter:\nbc_coef=1,3,10 (with --seeds: all "
        "combinations; may be repeated)",
    )
    run.add_argument(
        "--width", type=count(), metavar="N", help="runs in one compiled program (default: what a trial finds fastest)"
    )
    run.add_argument(
        "--resume", action="store_true", help="continue the run in its folder; with --updates MORE, extend it"
    )
    run.add_argument(
        "--requeue",
        action="store_true",
        help="continue the run in its folder if there is one, else start it:\nfor schedulers, which start a command "
        "again",
    )
    cls = algorithm_class(chosen_algorithm(arguments))
    add_hyperparameters(parser, cls)
    parser.explain = functools.partial(explain, cls)


def run(parsed: argparse.Namespace) -> int:
    """Train, and report how it went."""
    return report.report(launch.launch(requested(parsed)))


def requested(parsed: argparse.Namespace) -> "launch.Request":
    """What a command line requests.

    Raises:
        UsageError: if it contradicts itself.
    """
    given = given_options(parsed)
    if "seed" in given and parsed.seeds is not None:
        raise UsageError("--seed and --seeds cannot be combined: give one run's seed, or those of several runs")
    if parsed.resume and parsed.requeue:
        raise UsageError("--resume and --requeue cannot be combined: --requeue resumes what has begun")
    swept = [name for name, _ in parsed.sweep]
    if len(set(swept)) < len(swept):
        raise UsageError(f"{swept[0]} is given twice: name all its values in one --sweep")
    return launch.Request(
        RunConfig(**given),  # pyright: ignore[reportArgumentType]  (each was read by its own reader)
        given,
        seeds=parsed.seeds,
        sweep=dict(parsed.sweep),
        width=parsed.width,
        resume=None if parsed.requeue else parsed.resume,
        tell=functools.partial(print, flush=True),
        warn=say,
    )


def explain(cls: type, option: str) -> str | None:
    """What to say about an unknown option, if it is another algorithm's hyperparameter."""
    return foreign_hyperparameter(cls, option.lstrip("-").removeprefix("no-").replace("-", "_"))


def chosen_algorithm(arguments: list[str], chosen: str = "drol") -> str:
    """The value of --algorithm, needed before the full parse because its fields become options."""
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == "--algorithm" and not following.startswith("-"):
            chosen = following or chosen
        elif word.startswith("--algorithm="):
            chosen = word.partition("=")[2]
    return chosen
