"""`drol install-d4rl`: install D4RL's environments alongside JAX."""

import argparse

from drol.sources.d4rl import install


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="print the commands without running them")
    parser.epilog = (
        "Installs into the environment of this interpreter, which must be Python 3.11 or 3.12 on Linux.\n"
        "It compiles mujoco_py, which needs gcc and the headers of GL and OSMesa."
    )


def run(parsed: argparse.Namespace) -> int:
    """Install, or print the commands."""
    if parsed.dry_run:
        print(*install.steps(), sep="\n")
    else:
        install.install(lambda line: print(line, flush=True))
    return 0
