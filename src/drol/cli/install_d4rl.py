"""`drol install-d4rl`: D4RL's environments beside JAX."""

import argparse


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and run none")
    parser.epilog = (
        "Installs into the environment of this interpreter, which must be Python 3.11 or 3.12 on Linux.\n"
        "mujoco_py is compiled: this needs gcc and the headers of GL and OSMesa."
    )


def run(parsed: argparse.Namespace) -> int:
    """Install, or print the commands."""
    from drol.environments import install_d4rl

    if parsed.dry_run:
        print(*install_d4rl.steps(), sep="\n")
    else:
        install_d4rl.install(lambda line: print(line, flush=True))
    return 0
