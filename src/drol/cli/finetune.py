"""`drol finetune`: go on training a policy while it acts in its environment."""

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.cli.generated import add_hyperparameters, add_options, given_options
from drol.cli.output import say
from drol.cli.parser import Parser
from drol.cli.train import chosen_algorithm, explain
from drol.errors import UsageError
from drol.experiment.config import RunConfig
from drol.experiment.online import KEPT, ONLINE_OPTIONS, OnlineConfig
from drol.experiment.options import option_name
from drol.extras import lazy
from drol.files import read_json

if TYPE_CHECKING:
    from drol.cli import report
    from drol.experiment import finetune
else:
    report, finetune = lazy("drol.cli.report"), lazy("drol.experiment.finetune")

LEFT_OUT = ("updates", "eval_every", "eval_async", "shard_batch", "distributed", "coordinator", "processes", "process")
"""Options of `drol train` that have no meaning here."""


def add_arguments(parser: Parser, arguments: list[str]) -> None:
    """Declare the command's options, including those of the algorithm."""
    groups = add_options(parser, leave_out=LEFT_OUT, further=OnlineConfig)
    for action in parser._actions:
        if action.dest == "task":
            action.metavar = "RUN"
            action.help = (
                "the folder of a trained run; or, to begin with nothing, a task (whose data are drawn\nfrom as well) "
                "or an environment such as Pendulum-v1"
            )
        if action.dest == "out":
            action.help = "folder (default: RUN-online, or runs/TASK-ALGORITHM-online-seedS)"
    groups["the run"].add_argument(
        "--resume",
        action="store_true",
        help="continue the online run in its folder, exactly; with --steps MORE, extend it",
    )
    cls = algorithm_class(_algorithm(arguments))
    add_hyperparameters(parser, cls)
    parser.explain = functools.partial(explain, cls)
    parser.epilog = (
        "A trained run is continued as it is: only the options of learning online, continuous hyperparameters\n"
        f"(--bc-coef 3) and {', '.join(map(option_name, KEPT))}\n"
        "may differ. Any method that has a critic can learn online. The results go to a folder of their own,\n"
        "RUN-online, whose records begin with those of RUN."
    )


def run(parsed: argparse.Namespace) -> int:
    """Train, and report how it went."""
    return report.report([finetune.launch_online(requested(parsed))])


def requested(parsed: argparse.Namespace) -> "finetune.OnlineRequest":
    """What a command line requests.

    Raises:
        UsageError: if it contradicts itself.
    """
    given = given_options(parsed)
    chosen = {name: value for name, value in given.items() if name in ONLINE_OPTIONS}
    # What a resumed run leaves out is as it was, not the default.
    online = OnlineConfig() if parsed.resume else OnlineConfig(**chosen)  # pyright: ignore[reportArgumentType]
    folder = Path(parsed.task)
    if parsed.resume or (folder / "config.json").is_file():
        begins = folder if (folder / "config.json").is_file() else _from_nothing(given)
    elif folder.is_dir():
        raise UsageError(f"{folder} holds no run (no config.json); name the folder of one, or a task")
    else:
        begins = _from_nothing(given)
    return finetune.OnlineRequest(
        begins,
        online,
        given,
        out=getattr(parsed, "out", None),
        resume=parsed.resume,
        tell=functools.partial(print, flush=True),
        warn=say,
    )


def _from_nothing(given: dict) -> RunConfig:
    return RunConfig(**{name: value for name, value in given.items() if name not in ONLINE_OPTIONS})


def _algorithm(arguments: list[str]) -> str:
    """The algorithm whose hyperparameters are options: the one that is named, or that of the run that is."""
    for word in arguments:
        path = Path(word) / "config.json"
        if not word.startswith("-") and path.is_file():
            config = read_json(path)
            name = config.get("algorithm") if isinstance(config, dict) else None
            if name in ALGORITHMS:
                return chosen_algorithm(arguments, name)
    return chosen_algorithm(arguments)
