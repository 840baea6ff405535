"""`drol`: the entry point. Imports nothing slow, so that `drol --help` answers at once."""

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

import drol
from drol.cli.output import BROKEN_PIPE, OutputError, flush_errors, guarded_output, open_closed_streams, say
from drol.cli.parser import Parser
from drol.errors import DivergedError, LostProcessError, UsageError
from drol.extras import MissingExtraError, lazy
from drol.signals import StoppedError

if TYPE_CHECKING:
    from drol import processes
else:
    processes = lazy("drol.processes")

COMMANDS = {
    "collect": "collect a data set with the experts of OGBench or of D4RL's maze2d",
    "doctor": "examine a data set before training on it",
    "train": "train a policy on a task",
    "finetune": "go on training a policy while it acts in its environment",
    "evaluate": "roll out a trained policy and report its success rate",
    "runs": "list runs with their state, progress and score",
    "summary": "scores by task, method and swept value, with their uncertainty",
    "plot": "draw learning curves, with a band over seeds",
    "certify": "bind the score of a run to the evidence for it",
    "verify": "check a certificate, and roll its episodes out again",
    "compare": "train every method on the same data and make a table of the results",
    "presets": "list tasks, hyperparameters and sizes",
    "expert": "train the ant that collects antmaze and antsoccer data",
    "install-d4rl": "install D4RL's environments, which pip alone cannot",
    "bench": "measure speed on this machine",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: done. 1: failed, with one clear message. 2: wrong usage. 130, 143: stopped by Ctrl-C, by SIGTERM. 141: nobody
    reads the output any longer.
    """
    if arguments is None:
        open_closed_streams()
        _end_with_asker()
    try:
        with guarded_output():
            return _status(sys.argv[1:] if arguments is None else arguments)
    except OutputError as error:
        if error.is_broken_pipe:
            return BROKEN_PIPE
        say(f"drol: error: {error}")
        return 1
    finally:
        if arguments is None:
            flush_errors()


def _end_with_asker() -> None:
    """End when the comparison that started this command does, if any; `drol --help` imports nothing for this."""
    if "DROL_ASKED_BY" in os.environ:
        processes.end_with_asker()


def _status(arguments: list[str]) -> int:
    """Run one command, and turn errors that a user can fix into one line; returns the exit status."""
    try:
        return _run(arguments)
    except OutputError:
        raise
    except KeyboardInterrupt:
        say("\ndrol: interrupted")
        return 130
    except StoppedError as stop:
        say(f"drol: {stop}")
        return 128 + stop.number
    except Exception as error:
        if not isinstance(error, _expected_errors()):
            # A bug: its traceback is the best report there is.
            raise
        say(f"drol: error: {getattr(error, 'shell', error)}")
        return 2 if isinstance(error, UsageError) else 1


def _run(arguments: list[str]) -> int:
    parser = Parser(
        prog="drol",
        description="Train one-step offline RL policies by dynamic routing (DROL), in JAX.",
        epilog="`drol COMMAND --help` explains a command. Start with:\n"
        "  drol train cube-single-play-singletask-task2-v0 --collect 150",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = None
    for name, help in COMMANDS.items():
        command = commands.add_parser(
            name, help=help, description=help.capitalize() + ".", formatter_class=argparse.RawTextHelpFormatter
        )
        if arguments[:1] == [name]:
            chosen = importlib.import_module(f"drol.cli.{name.replace('-', '_')}")
            chosen.add_arguments(command, arguments[1:])
    parsed = parser.parse_args(arguments)
    if parsed.version:
        print(f"drol {drol.__version__}")
        return 0
    if chosen is None:
        parser.print_help()
        return 2
    return chosen.run(parsed)


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a user can fix: bad input, missing parts, a full disk, a failed environment or process, divergence."""
    return (ValueError, OSError, MissingExtraError, processes.WorkerError, LostProcessError, DivergedError)


if __name__ == "__main__":
    sys.exit(main())
