"""The runs in folders: what was trained, how far, and the figure of each. Does not import JAX."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from drol.errors import DataError
from drol.report.figure import Figure, figure
from drol.training.folder import RunFolder

State = Literal["finished", "training", "unfinished", "diverged"]

LENGTHS = ("updates", "batch_size", "eval_every")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What the folder of a run says about it.

    Attributes:
        folder: the run's.
        task, algorithm, seed: as configured.
        facts: everything else that distinguishes runs: hyperparameters, lengths, size, data.
        updates, update: planned, and recorded so far.
        start: the update from which it learned online; None if it did not.
        state: unfinished runs are those that no process trains at the moment.
        lines: of `metrics.jsonl`.
        figure: of the last evaluations so far; None if there was none, or the run diverged.
    """

    folder: Path
    task: str
    algorithm: str
    seed: int
    facts: Mapping[str, Any]
    updates: int
    update: int
    start: int | None
    state: State
    lines: tuple[Mapping[str, Any], ...]
    figure: Figure | None


def runs_in(paths: Iterable[Path]) -> list[RunRecord]:
    """All runs in these folders and below them, in the order of their paths; each once.

    Raises:
        DataError: if a path holds no run, or the configuration of a run cannot be read.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        below = list(_folders(path))
        if not below:
            raise DataError(f"{path} {'holds no run (no config.json below it)' if path.is_dir() else 'is no folder'}")
        for folder in below:
            found.setdefault(folder.resolve(), folder)
    return [read_run(folder) for folder in found.values()]


def _folders(path: Path) -> Iterator[Path]:
    """The run folders at or below a path; what lies inside a run folder is not searched."""
    if (path / "config.json").is_file():
        yield path
    elif path.is_dir():
        for entry in sorted(path.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                yield from _folders(entry)


def read_run(path: Path) -> RunRecord:
    """The record of one run.

    Raises:
        DataError: if there is none, or its configuration cannot be read.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    settings, lines = config["settings"], tuple(folder.metrics.read())
    update, diverged = max((line["update"] for line in lines), default=0), folder.read_divergence() is not None
    if diverged:
        state: State = "diverged"
    elif folder.is_locked():
        state = "training"
    else:
        state = "finished" if update >= settings["updates"] else "unfinished"
    return RunRecord(
        folder=path,
        task=config["task"],
        algorithm=config.get("algorithm", "drol"),
        seed=settings["seed"],
        facts=_facts(config),
        updates=settings["updates"],
        update=update,
        start=settings.get("start", 0) if "online" in config else None,
        state=state,
        lines=lines,
        figure=None if diverged else figure(lines),
    )


def _facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What distinguishes this run from others of the same task and algorithm, apart from its seed."""
    facts = dict(config["hyperparameters"])
    facts |= {name: config["settings"][name] for name in LENGTHS if name in config["settings"]}
    facts["size"] = config.get("size", "laptop")
    facts["chunk"] = chunk = config.get("chunk") or 1
    for name in ("n_step", "replan"):
        given = config.get(name)
        facts[name] = None if given == chunk else given  # the same as if it had been left out
    facts |= {name: config.get(name, False) for name in ("public_returns", "sparse_rewards")}
    facts["normalize_observations"] = config.get("normalize_observations", False)
    online = config.get("online")
    facts["online"] = (
        " ".join(f"{name}={online[name]}" for name in sorted(online)) if isinstance(online, dict) else None
    )
    facts["data"] = "+".join(file["sha256"][:8] for file in config["data"]["files"])
    environment = config.get("evaluated_in")
    if isinstance(environment, dict):
        facts["environment"] = environment.get("id")
    return facts
