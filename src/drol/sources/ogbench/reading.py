"""OGBench's single-task data: files, the download folder, and the official download."""

import dataclasses
import functools
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.data.checks import check_array
from drol.data.dataset import Dataset
from drol.data.log import Log, log_of_states
from drol.data.readers.npz import read_npz
from drol.data.transitions import to_transitions
from drol.errors import DataError
from drol.extras import lazy, quiet
from drol.files import listed
from drol.sources.download import Progress, download, verify_record
from drol.sources.ogbench.names import OGBenchTask

if TYPE_CHECKING:
    import gymnasium
    from ogbench import relabel_utils
    from ogbench import utils as ogbench_utils
else:
    gymnasium = lazy("gymnasium", "ogbench")
    relabel_utils, ogbench_utils = lazy("ogbench.relabel_utils", "ogbench"), lazy("ogbench.utils", "ogbench")

CACHE = Path("~/.ogbench/data")
"""The folder where ogbench itself keeps its data sets."""

STATES = ("qpos", "qvel", "button_states")
"""Columns from which the simulator's state can be restored."""


def base_url() -> str:
    """Where ogbench publishes its data sets; the environment variable DROL_OGBENCH_URL sets a mirror."""
    return os.environ.get("DROL_OGBENCH_URL", ogbench_utils.DATASET_URL)


def load(
    task: OGBenchTask,
    *,
    path: str | Path | None = None,
    cache: str | Path = CACHE,
    progress: Progress | None = None,
    expected: str | None = None,
) -> Dataset:
    """A task's data, relabelled with its rewards and masks.

    Reads `path` if given, else `DATASET.npz` in the cache folder, downloading it there if it is missing. The validation
    file `*-val.npz` is expected next to it.

    Args:
        task: see `parse_task`.
        path: a training file in OGBench's format.
        cache: folder of downloaded data sets.
        progress: called with (bytes so far, total bytes or None) during a download.
        expected: the SHA-256 of the training file, checked if it is downloaded.

    Raises:
        DataError: if a file is missing, damaged or not in the format, or the download fails.
    """
    if path is None:
        folder = Path(cache).expanduser()
        train = folder / f"{task.dataset}.npz"
        for name, digest in ((train.name, expected), (f"{train.stem}-val.npz", None)):
            if not (folder / name).exists():
                ways = _other_ways(name, folder)
                download(f"{base_url()}/{name}", folder / name, progress, other_ways=ways, expected=digest)
    else:
        train = Path(path).expanduser()
    validation = train.with_name(f"{train.stem}-val.npz")
    files = [(file, _read(file, task)) for file in (train, validation)]
    labelled = [to_transitions(_relabelled(file, columns, task)) for file, columns in files]
    source = {
        "kind": "ogbench",
        "files": [{"name": f.name, "bytes": f.stat().st_size, "sha256": verify_record(f)} for f, _ in files],
    }
    return Dataset(*labelled, source=source)


def is_format(path: Path) -> bool:
    """Whether an npz file has OGBench's columns, with `terminals` marking final states and no rewards of its own."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return {"observations", "actions", "terminals"} <= names and not names & {"rewards", "next_observations"}


def read(path: Path, task: OGBenchTask | None = None) -> Log:
    """A file in OGBench's format as a log, labelled with rewards if a task is given.

    Raises:
        DataError: if it is missing, damaged or not in the format.
    """
    columns = _read(path, task)
    log = _relabelled(path, columns, task) if task else log_of_states(columns, str(path))
    return dataclasses.replace(log, states={name: columns[name] for name in STATES if name in columns})


def _other_ways(name: str, folder: Path) -> str:
    dataset = name.removesuffix(".npz").removesuffix("-val").removesuffix("-v0")
    return (
        f"Other ways: collect data here with OGBench's own experts (`drol train TASK --collect 150`, or "
        f"`drol collect {dataset} --out FILE.npz` and then `--data FILE.npz`); or fetch {name} on another machine "
        f"and put it into {folder}, or name it with --data."
    )


def _read(path: Path, task: OGBenchTask | None) -> dict[str, np.ndarray]:
    columns = read_npz(path)
    needed = ["observations", "actions", "terminals"]
    needed += ["qpos"] if task else []
    needed += ["button_states"] if task and task.env_id.startswith(("scene", "puzzle")) else []
    missing = [key for key in needed if key not in columns]
    if missing:
        raise DataError(
            f"{path}: expected OGBench's columns {', '.join(needed)}; {', '.join(missing)} missing, "
            f"found {listed(sorted(columns))}"
        )
    lengths = {key: len(value) if value.ndim else 0 for key, value in columns.items()}
    if len(set(lengths.values())) > 1:
        found = listed(f"{key} {length}" for key, length in lengths.items())
        raise DataError(f"{path}: all columns must have the same number of rows, found {found}")
    return columns


def _relabelled(path: Path, columns: dict[str, np.ndarray], task: OGBenchTask) -> Log:
    """The log with the task's rewards and masks, from ogbench's own relabelling of the state before the action."""
    where, env = str(path), _task_env(task.env_id)
    with quiet():
        widths = {"observations": env.observation_space.shape[0], "actions": env.action_space.shape[0]}
    for name, width in widths.items():
        if columns[name].ndim != 2 or columns[name].shape[1] != width:
            raise DataError(
                f"{where}: {task.name} has {name} of {width} numbers, found an array of shape {columns[name].shape}; "
                f"does the file belong to another environment?"
            )
    for name in ("qpos", "button_states"):
        if name in columns:
            check_array(name, columns[name], (None, None), where)
    log = log_of_states(columns, where)
    labels = {key: columns[key][log.rows] for key in ("qpos", "button_states") if key in columns}
    with quiet():
        relabel_utils.relabel_dataset(task.env_id, env, labels)
    return dataclasses.replace(log, rewards=labels["rewards"], terminated=labels["masks"] == 0)


@functools.lru_cache(maxsize=1)
def _task_env(env_id: str) -> Any:
    with quiet():
        env = gymnasium.make(f"ogbench:{env_id}")
        env.reset()
    return env
