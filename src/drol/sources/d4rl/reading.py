"""D4RL's data sets, read from their HDF5 files as d4rl itself reads them. Needs only h5py, no part of D4RL."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from drol.data.checks import check_flags, check_table, column
from drol.data.dataset import Dataset
from drol.data.log import LeftOut, Log
from drol.data.readers.hdf5 import read_hdf5
from drol.data.transitions import to_transitions
from drol.errors import DataError
from drol.files import listed
from drol.sources.d4rl.tasks import SHIFTED, D4RLTask, task
from drol.sources.download import Progress, download, verify_record

NEEDED = ("observations", "actions", "rewards", "terminals")

STATES = ("qpos", "qvel")
PLACED = ("desired_orien", "door_body_pos", "board_pos")
"""Simulator states in the group `infos`; `PLACED` hold the poses of adroit's goals and objects."""


def dataset_folder() -> Path:
    """Where d4rl keeps its data sets: $D4RL_DATASET_DIR, else ~/.d4rl/datasets."""
    return Path(os.environ.get("D4RL_DATASET_DIR", "~/.d4rl/datasets")).expanduser()


def load(
    name: str,
    *,
    path: str | Path | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    expected: str | None = None,
) -> Dataset:
    """A task's data, read by `read` and prepared as for the published results.

    antmaze's rewards become -1 and 0, masks are 1 - terminals, and actions are clipped to +-(1 - 1e-5); nothing is
    normalised or held out.

    Args:
        name: D4RL's id.
        path: the data set's file; by default it is looked up in `folder` and downloaded there if missing.
        folder: where data sets are kept; defaults to `dataset_folder()`.
        progress: called with (bytes so far, total bytes or None) during a download.
        expected: the file's SHA-256, checked if it is downloaded.

    Raises:
        DataError: if the name is unknown, the file is damaged or belongs to another task, or the download fails.
    """
    known = task(name)
    there = Path(folder or dataset_folder()).expanduser()
    file = _locate(known, there, progress, expected) if path is None else Path(path).expanduser()
    log = read(name, file)
    # As for the published results, actions out of range are clipped, not refused.
    train = to_transitions(dataclasses.replace(log, actions=np.clip(log.actions, -1, 1)))
    if known.family == SHIFTED:
        train = dataclasses.replace(train, rewards=train.rewards - 1)
    source = {
        "kind": "d4rl",
        "files": [{"name": file.name, "bytes": file.stat().st_size, "sha256": verify_record(file)}],
    }
    return Dataset(train, None, source)


def read(name: str, path: Path) -> Log:
    """A task's file, with the transitions of `d4rl.qlearning_dataset`.

    A row's successor is the next row, so neither a row that timed out nor the last one makes a transition
    (`next_observations` are not used even if a file has them). An episode ends where a row was left out and also at
    terminals, except in antmaze, where ants keep walking after reaching the goal. If `timeouts` are missing, they are
    reconstructed by counting rows up to the task's time limit.

    Raises:
        DataError: saying what was expected in the file and what was found.
    """
    known, where = task(name), str(path)
    columns = _columns(known, path)
    observations, terminals = columns["observations"], columns["terminals"]
    timed_out = columns["timeouts"] if "timeouts" in columns else _time_outs(terminals, known.max_episode_steps)
    left_out = np.append(timed_out[:-1], True)
    rows = np.flatnonzero(~left_out)
    terminated, last = terminals[rows], left_out[rows + 1]
    return Log(
        where=where,
        observations=observations,
        actions=columns["actions"][rows],
        rewards=columns["rewards"][rows],
        terminated=terminated,
        truncated=last & ~terminated,
        ends=last if known.family == "antmaze" else last | terminated,
        index=rows,
        next_index=rows + 1,
        rows=rows,
        states={s: columns[f"infos/{s}"] for s in (*STATES, *PLACED) if f"infos/{s}" in columns},
        left_out=LeftOut.of(columns["rewards"], left_out),
    )


def _columns(known: D4RLTask, path: Path) -> dict[str, np.ndarray]:
    """A file's arrays, with their shapes checked and flags as booleans."""
    where, infos = str(path), [f"infos/{name}" for name in (*STATES, *PLACED)]
    wanted = {*NEEDED, "timeouts", *infos}
    columns = {name: array for name, array in read_hdf5(path, wanted=wanted.__contains__).items() if name in wanted}
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise DataError(
            f"{where}: expected D4RL's arrays {', '.join(NEEDED)}; {', '.join(missing)} missing, "
            f"found {listed(sorted(columns))}"
        )
    check_table("observations", columns["observations"], None, where)
    count = len(columns["observations"])
    if not count:
        raise DataError(f"{where}: 'observations' has no rows; at least two are needed for a transition")
    check_table("actions", columns["actions"], count, where)
    for name, width in (("observations", known.observation_dim), ("actions", known.action_dim)):
        if columns[name].shape[1] != width:
            raise DataError(
                f"{where}: {known.name} has {name} of {width} numbers, found an array of shape {columns[name].shape}; "
                f"does the file belong to another task?"
            )
    columns["rewards"] = column("rewards", columns["rewards"], count, where)
    for name in {"terminals", "timeouts"} & columns.keys():
        columns[name] = check_flags(name, columns[name], count, where)
    for name in columns.keys() & set(infos):
        check_table(name, columns[name], count, where)
    return columns


def _time_outs(terminals: np.ndarray, limit: int) -> np.ndarray:
    """(N,) which rows d4rl treats as timeouts if a file does not mark them.

    The first episode, and any episode after a timeout, has `limit` rows; an episode after a terminal times out one row
    earlier, because d4rl includes that terminal in its count.
    """
    timed_out = np.zeros(len(terminals), bool)
    step = 0
    for row, terminal in enumerate(terminals.tolist()):
        timed_out[row] = step == limit - 1
        step = 0 if timed_out[row] else 1 if terminal else step + 1
    return timed_out


def _locate(known: D4RLTask, folder: Path, progress: Progress | None, expected: str | None) -> Path:
    file = folder / known.file
    if not file.exists():
        make = f" or make data of this kind with `drol collect {known.name}`," if known.family == "maze2d" else ""
        other_ways = (
            f"Other ways: fetch {known.file} on another machine and put it into {folder} (D4RL_DATASET_DIR sets "
            f"another folder),{make} or name a file with --data."
        )
        download(known.url, file, progress, other_ways=other_ways, expected=expected)
    return file
