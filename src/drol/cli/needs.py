"""Which optional packages a command needs for what it was asked to do, so that it names all missing ones at once."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drol.environments import d4rl_tasks

Needs = dict[str, str]
"""Module -> the extra that installs it; see `drol.extras.require_all`."""

CHECKPOINTS: Needs = {"orbax.checkpoint": "train"}
RUNS: Needs = {"rich": "train"} | CHECKPOINTS
GYMNASIUM: Needs = {"gymnasium": "train"}
OGBENCH: Needs = {"ogbench": "ogbench"}
MINARI: Needs = {"minari": "minari"}
HDF5: Needs = {"h5py": "hdf5"}

HDF5_SUFFIXES = {".hdf5", ".h5", ".hdf"}


def of_data(name: str) -> Needs:
    """To read a data set.

    Args:
        name: of its task, or its file or folder.
    """
    if name.startswith("minari:"):
        return MINARI
    if d4rl_tasks.is_d4rl(name):
        return HDF5
    path = Path(name).expanduser()
    if path.exists():
        files = itertools.islice(path.iterdir(), 100) if path.is_dir() else [path]
        return HDF5 if any(file.suffix.lower() in HDF5_SUFFIXES for file in files) else {}
    return OGBENCH if "-singletask" in name else {}


def of_environment(name: str | None) -> Needs:
    """To evaluate in an environment.

    Args:
        name: as `--env` or a task names it; None or `none` for no environment.
    """
    if name is None or name == "none":
        return {}
    if name.startswith("minari:"):
        return MINARI
    return GYMNASIUM | (OGBENCH if "ogbench:" in name or "-singletask" in name else {})


def of_evaluation(task: str, environment: str | None) -> Needs:
    """To train on a task: to evaluate in the environment that was named, or else in the task's own."""
    is_own = not (task.startswith("minari:") or d4rl_tasks.is_d4rl(task) or "-singletask" in task)
    return of_environment(None if environment is None and is_own else environment or task)


def of_record(record: Mapping[str, Any]) -> Needs:
    """To evaluate in an environment that a policy file names; see `EnvironmentSpec.as_record`."""
    return of_environment(f"minari:{record['id']}" if record.get("kind") == "minari" else str(record["id"]))


def of_collection(name: str) -> Needs:
    """To make a data set with an expert."""
    return GYMNASIUM | HDF5 if d4rl_tasks.is_d4rl(name) else OGBENCH
