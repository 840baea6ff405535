"""`drol collect`: make a data set with the experts that OGBench and D4RL bring along."""

import argparse
from pathlib import Path

from drol.cli import needs
from drol.cli.numbers import count, seed
from drol.cli.options import cores
from drol.cli.parser import UsageError
from drol.data.tasks import Task
from drol.environments import d4rl_tasks
from drol.extras import require_all
from drol.files import DataError

MAZE_NOISE = 0.5
"""Of maze2d's walker, in units of actions: without noise a policy has nothing to choose from."""


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
        help="training episodes (default: as many as were published);\nfor OGBench a tenth as many are added for "
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
        help="training file; OGBench's validation goes to FILE-val.npz\n(default: ENV-DATASET-v0.npz, for D4RL .hdf5)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Collect, and say where the files are."""
    require_all(needs.of_collection(parsed.dataset))
    if d4rl_tasks.is_d4rl(parsed.dataset):
        paths = [_walk(parsed.dataset, parsed.episodes, parsed.seed, parsed.out or Path(f"{parsed.dataset}.hdf5"))]
    else:
        name = parsed.dataset.removesuffix("-v0")
        paths = _by_experts(name, parsed.episodes, parsed.seed, parsed.out or Path(f"{name}-v0.npz"), parsed.workers)
    print(f"wrote {' and '.join(map(str, paths))}")
    return 0


def collected(task: Task, episodes: int, seed: int, folder: Path, workers: int) -> Path:
    """The task's data set of so many episodes, made now unless it is in `folder` already.

    Raises:
        DataError: if the task has no expert.
    """
    if task.kind == "d4rl":
        path = folder / f"{task.name}-{episodes}episodes-seed{seed}.hdf5"
        return path if path.exists() else _walk(task.name, episodes, seed, path)
    if task.kind != "ogbench":
        raise DataError(
            f"--collect is for tasks with an expert of their own, OGBench's and maze2d; {task.name} has none"
        )
    from drol.data.ogbench import parse_task

    dataset = parse_task(task.name).dataset.removesuffix("-v0")
    path = folder / f"{dataset}-{episodes}episodes-seed{seed}.npz"
    if not path.exists():
        # The training file is written last: without it, its companion is a leftover.
        path.with_name(f"{path.stem}-val.npz").unlink(missing_ok=True)
        _by_experts(dataset, episodes, seed, path, workers)
    return path


def _by_experts(name: str, episodes: int | None, seed: int, out: Path, workers: int) -> list[Path]:
    from drol.cli.progress import counting
    from drol.data.collect import collect, parse_collection

    parse_collection(name)
    with counting(f"collecting {name}") as progress:
        return list(collect(name, out=out, episodes=episodes, seed=seed, workers=workers, progress=progress))


def _walk(name: str, episodes: int | None, seed: int, out: Path) -> Path:
    from drol.cli.progress import counting
    from drol.data import d4rl_maze

    if out.suffix != ".hdf5":
        raise UsageError(f"--out must be a file name ending in .hdf5, found {str(out)!r}")
    if out.exists():
        raise DataError(f"{out} exists already; choose another name with --out or remove it")
    whole, limit = d4rl_maze.published_steps(name), d4rl_tasks.task(name).max_episode_steps
    steps = whole if episodes is None else episodes * limit
    with counting(f"collecting {name}") as progress:
        return d4rl_maze.collect(name, out=out, steps=steps, seed=seed, noise=MAZE_NOISE, progress=progress)
