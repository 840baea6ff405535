"""`drol collect`: make a data set with OGBench's scripted experts."""

import argparse
from pathlib import Path

from drol.cli.options import cores


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "dataset", metavar="ENV-DATASET", help="for instance cube-single-play or pointmaze-medium-navigate"
    )
    parser.add_argument(
        "--episodes",
        type=int,
        metavar="N",
        help="training episodes (default: as many as OGBench published);\na tenth as many are added for validation",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same file (default: 0)"
    )
    parser.add_argument(
        "--workers", type=int, default=cores(), metavar="W", help=f"processes (default: all cores, {cores()})"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.npz",
        help="training file; validation goes to FILE-val.npz\n(default: ENV-DATASET-v0.npz)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Collect, and say where the files are."""
    from drol.cli.progress import counting
    from drol.data.collect import collect, parse_collection

    parse_collection(parsed.dataset)
    out = parsed.out or Path(f"{parsed.dataset.removesuffix('-v0')}-v0.npz")
    with counting(f"collecting {parsed.dataset}") as progress:
        paths = collect(
            parsed.dataset,
            out=out,
            episodes=parsed.episodes,
            seed=parsed.seed,
            workers=parsed.workers,
            progress=progress,
        )
    print(f"wrote {paths[0]} and {paths[1]}")
    return 0
