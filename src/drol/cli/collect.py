"""`drol collect`: collect a data set with scripted and trained experts."""

import argparse
from pathlib import Path

from drol.cli.numbers import count, seed
from drol.experiment import needs
from drol.experiment.collecting import collect_data_set
from drol.extras import require_all
from drol.processes import cores
from drol.sources import collector_of


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "dataset",
        metavar="ENV-DATASET",
        help="for instance cube-single-play, pointmaze-medium-navigate or (with D4RL) maze2d-umaze-v1",
    )
    parser.add_argument(
        "--episodes",
        type=count(),
        metavar="N",
        help="training episodes (default: as many as were published);\nfor OGBench, a tenth as many are added for "
        "validation",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="S", help="the same seed gives the same file (default: 0)"
    )
    parser.add_argument(
        "--workers", type=count(), default=cores(), metavar="W", help=f"processes (default: all cores, {cores()})"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="training file; OGBench's validation data go to FILE-val.npz\n"
        "(default: ENV-DATASET-v0.npz, for D4RL .hdf5)",
    )

    parser.add_argument(
        "--experts",
        type=Path,
        metavar="DIR",
        help="folder of the trained ants that `drol expert` made, for antmaze and antsoccer\n(default: those that come "
        "with the package)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Collect, and print where the files are."""
    require_all(needs.of_collection(parsed.dataset))
    source = collector_of(parsed.dataset)
    out = parsed.out or Path(source.file_name(parsed.dataset))
    paths = collect_data_set(source, parsed.dataset, parsed.episodes, parsed.seed, out, parsed.workers, parsed.experts)
    print(f"wrote {' and '.join(map(str, paths))}")
    if (said := source.about_collection(parsed.dataset)) is not None:
        print(said)
    return 0
