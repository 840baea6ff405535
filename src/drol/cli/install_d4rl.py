"""`drol install-d4rl`: D4RL's environments beside JAX."""

import argparse

from drol.sources.d4rl import install


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and run none")
    parser.epilog = (
        "Installs into the environment of this interpreter, which must be Python 3.11 or 3.12 on Linux.\n"
        "mujoco_py is compiled: this needs gcc and the headers of GL and OSMesa."
    )


def run(parsed: argparse.Namespace) -> int:
    """Install, or print the commands."""
    if parsed.dry_run:
        print(*install.steps(), sep="\n")
    else:
        install.install(lambda line: print(line, flush=True))
    return 0
