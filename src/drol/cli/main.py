"""`drol`: the entry point. Imports nothing slow, so that `drol --help` answers at once."""

import argparse
import importlib
import sys

COMMANDS = {
    "collect": "make a data set with OGBench's scripted experts",
    "train": "train a policy on a task",
    "evaluate": "roll a trained policy out and report its success rate",
    "presets": "list tasks, hyperparameters and sizes",
    "bench": "measure speed on this machine",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: done. 1: failed, with one clear message. 2: wrong usage. 130: stopped on request, to be resumed.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="drol",
        description="Train one-step offline RL policies by dynamic routing (DROL), in JAX.",
        epilog="`drol COMMAND --help` explains a command. Start with: drol train cube-single-play-singletask-task2-v0 "
        "--collect 150",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    run = None
    for name, help in COMMANDS.items():
        command = commands.add_parser(
            name, help=help, description=help.capitalize() + ".", formatter_class=argparse.RawTextHelpFormatter
        )
        if name == chosen:
            module = importlib.import_module(f"drol.cli.{name}")
            module.add_arguments(command, arguments[1:])
            run = module.run
    parsed = parser.parse_args(arguments)
    if parsed.version:
        from drol import __version__

        print(f"drol {__version__}")
        return 0
    if run is None:
        parser.print_help()
        return 2
    return _guarded(run, parsed)


def _guarded(run, parsed: argparse.Namespace) -> int:
    """Turn expected errors into one message; anything else is a bug and keeps its traceback."""
    from drol.extras import MissingExtraError
    from drol.processes import WorkerError

    expected = (ValueError, OSError, MissingExtraError, WorkerError)
    try:
        return run(parsed)
    except KeyboardInterrupt:
        print("\ndrol: interrupted", file=sys.stderr)
        return 130
    except expected as error:
        print(f"drol: error: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        from drol.training.run import DivergedError

        if not isinstance(error, DivergedError):
            raise
        print(f"drol: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
