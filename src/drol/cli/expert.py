"""`drol expert`: train the ants that collect OGBench's locomotion data."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drol.cli.numbers import count, seed
from drol.experiment import needs
from drol.extras import lazy, require_all
from drol.sources.ogbench.online import EXPERTS

if TYPE_CHECKING:
    from drol.experiment import expert
    from drol.experiment import run as run_module
else:
    expert, run_module = lazy("drol.experiment.expert"), lazy("drol.experiment.run")


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "expert",
        choices=tuple(EXPERTS),
        help="ant: follows directions, for antmaze and antsoccer (about an hour on two cores);\nantball: moves the "
        "ball, for antsoccer (about two hours; needs EGL)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the run goes to DIR/NAME, the actor to DIR/NAME.npz"
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="of everything (default: 0)")
    parser.add_argument(
        "--steps",
        type=count(),
        metavar="N",
        help="environment steps (default: 400,000 for ant, 2,000,000 for antball)",
    )
    parser.add_argument("--workers", type=count(), metavar="W", help="processes (default: all cores, at most 8)")
    parser.add_argument("--resume", action="store_true", help="continue the run in its folder")
    parser.epilog = (
        "The recipe is OGBench's, soft actor-critic in its online ant; that of the ball is shortened.\n"
        "An actor is kept only if it passes: 90 m per 1,000 steps over 50 episodes, or half of 50 episodes\n"
        "with the ball at the goal. `drol collect antmaze-large-navigate --experts DIR` uses it\n"
        "instead of the one that comes with drol."
    )


def run(parsed: argparse.Namespace) -> int:
    """Train, judge, and say how it went."""
    require_all(needs.RUNS | needs.of_environment(EXPERTS[parsed.expert]))
    try:
        judged = expert.train_expert(
            parsed.expert,
            parsed.out,
            seed=parsed.seed,
            steps=parsed.steps,
            workers=parsed.workers,
            resume=parsed.resume,
        )
    except run_module.Interrupted as stopped:
        print("stopped; continue with the same command and --resume")
        return 128 + stopped.signal
    said = f"{judged.value:.3g} {judged.recipe.words} over {expert.GATE_EPISODES} episodes"
    if judged.file is None:
        print(f"{parsed.expert}: {said}, and {judged.recipe.least:g} are needed: it did not pass, and no actor is kept")
        return 1
    print(f"{parsed.expert}: {said}; the actor is {judged.file}")
    return 0
