"""Data sets collected locally with OGBench's scripted experts and with trained ants, in parallel processes.

The settings are those of OGBench's published data sets (Park et al., 2025, appendix on data collection, and
seohongpark/ogbench: data_gen_scripts/commands.sh). An episode depends only on the seed and its number, so the file
does not depend on the number of processes.
"""

import dataclasses
import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drol.errors import DataError, nearest
from drol.extras import require
from drol.files import clear_write_errors, write_atomic
from drol.processes import pool, ready
from drol.seeding import checked_seed
from drol.signals import StoppedError, stop_requests
from drol.sources.ogbench.actors import SHIPPED, load_actor
from drol.sources.ogbench.kept import KeptEpisodes, folder_of

CUBES = ("cube-single", "cube-double", "cube-triple", "cube-quadruple")
PUZZLES = ("puzzle-3x3", "puzzle-4x4", "puzzle-4x5", "puzzle-4x6")
MANIPULATION = (*CUBES, "scene", *PUZZLES)
MAZES = ("pointmaze-medium", "pointmaze-large", "pointmaze-giant", "pointmaze-teleport")
ANT_MAZES = ("antmaze-medium", "antmaze-large", "antmaze-giant", "antmaze-teleport")
SOCCER = ("antsoccer-arena", "antsoccer-medium")
EXPLORED = ("antmaze-medium", "antmaze-large", "antmaze-teleport")
COLLECTIBLE = (
    *(f"{env}-{kind}" for env in MANIPULATION for kind in ("play", "noisy")),
    *(f"{env}-{kind}" for env in (*MAZES, *ANT_MAZES, *SOCCER) for kind in ("navigate", "stitch")),
    *(f"{env}-explore" for env in EXPLORED),
)


@dataclasses.dataclass(frozen=True)
class Collection:
    """A data set that can be collected: environment, OGBench's type of data set, and the published settings."""

    env: str
    dataset_type: str

    @property
    def steps(self) -> int:
        """States per episode."""
        if self.dataset_type == "explore":
            return 501
        if self.dataset_type == "stitch":
            return 501 if self.env == "antsoccer-medium" else 201
        return 2001 if self.env.endswith("maze-giant") else 1001

    @property
    def episodes(self) -> int:
        """Number of episodes in the published training set."""
        larger = {"cube-triple": 3000, "cube-quadruple": 5000, "puzzle-4x5": 3000, "puzzle-4x6": 5000}
        larger |= {"pointmaze-giant": 500, "antmaze-giant": 500, "antsoccer-medium": 4000}
        if self.dataset_type == "explore":
            return 10_000
        if self.dataset_type == "stitch":
            return 8000 if self.env == "antsoccer-medium" else 5000
        return larger.get(self.env, 1000)

    @property
    def actors(self) -> tuple[str, ...]:
        """The trained actors that collect it; none where the experts are scripted."""
        if self.env in SOCCER:
            return ("ant", "antball")
        return ("ant",) if self.env in ANT_MAZES else ()

    @property
    def random_action(self) -> float:
        """The probability of a random action."""
        if self.dataset_type != "noisy":
            return 0.0
        return 0.2 if self.env.startswith("puzzle") else 0.1


def parse_collection(name: str) -> Collection:
    """The data set called `name`, for instance `cube-single-play` (a trailing `-v0` is accepted).

    Raises:
        DataError: if there is no expert that can collect it; the message suggests the nearest that can be collected.
    """
    short = name.removesuffix("-v0")
    if short.startswith("humanoidmaze"):
        raise DataError(
            f"cannot collect {name!r}: its expert takes 40 million steps of training, which is weeks on a processor, "
            f"so none comes with drol; the published data can be downloaded"
        )
    if short not in COLLECTIBLE:
        near = nearest(short, COLLECTIBLE, cutoff=0.3)
        raise DataError(
            f"cannot collect {name!r}: expected ENV-DATASET with an expert; the nearest is {near[0]!r}"
            if near
            else f"cannot collect {name!r}: expected one of {', '.join(COLLECTIBLE)}"
        )
    env, dataset_type = short.rsplit("-", 1)
    return Collection(env, dataset_type)


def collect(
    name: str,
    *,
    out: str | Path,
    episodes: int | None = None,
    seed: int = 0,
    workers: int = 1,
    steps: int | None = None,
    actors: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Path]:
    """Collect a data set and write it in OGBench's format to `out` and, for validation, to `*-val.npz` next to it.

    Args:
        name: a data set of `COLLECTIBLE`.
        out: path of the training file, ending in `.npz`.
        episodes: number of training episodes, by default as many as OGBench published; a tenth as many (at least one)
            are added for validation.
        seed: determines the files; the same seed gives the same bytes for any number of `workers`.
        workers: number of processes.
        steps: states per episode, by default as many as OGBench published.
        actors: the folder of the trained actors, for data with ants; by default those that come with the package.
        progress: called with (episodes done, total episodes).

    Returns:
        The paths of the training and the validation file.

    Raises:
        DataError: for a name or path that cannot be used, before any work is done.
        ValueError: for a seed out of range.
        OSError: if the files cannot be written; neither is left half-written.
        StoppedError: on SIGINT or SIGTERM while episodes are collected. Those that are finished are kept in the folder
            `NAME.episodes` next to `out`, also if the process is killed; the same call goes on from them, and writes
            the bytes that it would have written without the interruption.
    """
    collection = parse_collection(name)
    require("ogbench", "ogbench")
    experts = {actor: load_actor(actor, actors).sha256 for actor in collection.actors}
    paths = _output_paths(Path(out))
    count = collection.episodes if episodes is None else episodes
    steps = collection.steps if steps is None else steps
    if count < 1 or workers < 1 or steps < 2:
        raise DataError(
            f"episodes and workers must be at least 1 and steps at least 2, found {count}, {workers} and {steps}"
        )
    seed = checked_seed(seed)
    total = count + max(1, count // 10)
    kept = KeptEpisodes(paths[0], {"data set": name.removesuffix("-v0"), "seed": seed, "steps": steps, **experts})
    _collect_episodes(total, seed, (collection, steps, actors or SHIPPED), workers, kept, progress)
    # The training file is written last: if it exists, so does the validation file.
    for path, part in zip(reversed(paths), (range(count, total), range(count)), strict=True):
        read = [kept.read(number) for number in part]
        arrays = {key: np.concatenate([episode[key] for episode in read]) for key in read[0]}
        write_atomic(path, lambda file, arrays=arrays: _write_npz(file, arrays))
    kept.remove()
    return paths


def _collect_episodes(
    total: int,
    seed: int,
    given: tuple[Collection, int, Path | None],
    workers: int,
    kept: KeptEpisodes,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Keep every episode, each collected by the first free worker, whose collector is made with what is `given`."""
    done = kept.among(range(total))
    waiting = iter([number for number in range(total) if number not in done])
    left = total - len(done)
    collector = "drol.sources.ogbench.experts:Collector"
    try:
        with stop_requests(), pool(min(workers, left), collector, *given) as processes:
            assigned = {worker: next(waiting) for worker in processes}
            for worker, number in assigned.items():
                worker.send("episode", seed, number)
            while assigned:
                for worker in ready(list(assigned)):
                    kept.add(assigned.pop(worker), worker.receive())
                    left -= 1
                    if progress is not None:
                        progress(total - left, total)
                    following = next(waiting, None)
                    if following is not None:
                        assigned[worker] = following
                        worker.send("episode", seed, following)
    except StoppedError as stop:
        said = f"{total - left:,} of {total:,} episodes are kept in {kept.folder}; the same command goes on from them"
        raise StoppedError(stop.number, said if left < total else None) from None


def _output_paths(out: Path) -> tuple[Path, Path]:
    if out.suffix != ".npz" or out.name.endswith("-val.npz"):
        raise DataError(f"--out must be a file name ending in .npz (but not in -val.npz), found {str(out)!r}")
    paths = (out, out.with_name(out.stem + "-val.npz"))
    # Where episodes are kept, the collection was killed between the two files.
    for path in paths[:1] if folder_of(out).exists() else paths:
        if path.exists():
            raise DataError(f"{path} already exists; choose another name with --out or remove it")
    with clear_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK):
            raise PermissionError(errno.EACCES, f"no permission to write to {out.parent}")
    return paths


def _write_npz(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    np.savez_compressed(file, **arrays)
