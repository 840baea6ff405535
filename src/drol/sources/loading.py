"""The data of a task, as they are or ready for training."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from drol.data.readers.columns import NOTHING, Columns
from drol.errors import DataError
from drol.extras import lazy
from drol.sources.contract import Bounds, Request, Source, Task
from drol.sources.download import Progress, check_expected
from drol.sources.registry import parse_task

if TYPE_CHECKING:
    from drol.data.dataset import Dataset
    from drol.data.log import Log
    from drol.sources.ogbench import reading as ogbench
else:
    ogbench = lazy("drol.sources.ogbench.reading")


def load_data(
    name: str | os.PathLike[str],
    *,
    path: str | os.PathLike[str] | None = None,
    bounds: Bounds | None = None,
    columns: Columns | None = None,
    environment: str | None = None,
    progress: Progress | None = None,
    sha256: str | None = None,
) -> "Dataset":
    """A data set ready for training, checked, split and in the learner's units.

    The folder where ogbench, d4rl or minari keeps its data is searched first, then the official download is tried.

    Args:
        name: an OGBench or D4RL task (`cube-single-play-singletask-task2-v0`, `pen-human-v1`), `minari:DATASET`, or the
            path of a log of your own: an npz or HDF5 file, or a folder with one such file per episode.
        path: the training file of an OGBench or D4RL task, instead of searching for it.
        bounds: of the actions of a log of your own, lower and upper, (action,) or one number each; without, those that
            the log states, else those of `environment`, else -1 and 1.
        columns: names of the arrays of a log of your own, by ours: `{"observations": "obs/state", "actions": "acts"}`.
        environment: whose bounds of actions serve where the log states none; see `drol.environment`.
        progress: called with (bytes so far, bytes in all or None) during a download.
        sha256: that the training file must have, in hexadecimal.

    Returns:
        Training and validation transitions, where they came from, and the units that policies need:
        `ReplayData.from_transitions(data.train)` samples batches, and `in_units(policy, data.units)` acts in the user's
        units.

    Raises:
        DataError: if there is no such data set, or it is damaged; the message says what was expected and found.
        MissingExtraError: if a package that it needs is not installed; the message has the install command.
    """
    return load(
        parse_task(os.fspath(name), environment=environment, present=True),
        path=None if path is None else Path(path),
        bounds=bounds,
        columns=columns or NOTHING,
        progress=progress,
        expected=sha256,
    )


def load(
    task: Task,
    *,
    path: Path | None = None,
    bounds: Bounds | None = None,
    folder: Path | None = None,
    columns: Columns = NOTHING,
    progress: Progress | None = None,
    expected: str | None = None,
) -> "Dataset":
    """A task's data, ready for training.

    Args:
        task: see `parse_task`.
        path: its training file; without, the folders where its data sets are kept are searched and the official
            download is tried.
        bounds: of the actions of a log of your own, (action,) or one number each; without, those that the log states,
            else the environment's, else [-1, 1].
        folder: for tables that are memory-mapped, where a log of your own is too large for memory.
        columns: names of the arrays of a log of your own; see `drol.data.files.read`.
        progress: called with (bytes so far, bytes in all or None) during a download.
        expected: the SHA-256 of the training file, in hexadecimal.

    Raises:
        DataError: if the data are missing, damaged or not what they should be.
    """
    source = task.source
    if bounds is not None and "bounds" not in source.accepts:
        raise DataError(f"bounds of actions are for data of your own; those of {task.name} are known")
    _refuse_columns(columns, source, task.name)
    if path is not None and "path" not in source.accepts:
        raise DataError(f"{task.name} names its data itself: leave --data out")
    if expected is not None and not source.has_one_file(task.name):
        raise DataError(f"a SHA-256 is that of one file, and {task.name} is a folder of several")
    data = source.load(task, Request(path, bounds, folder, columns, progress, expected))
    if expected is not None:
        file = data.source["files"][0]
        check_expected(file["name"], file["sha256"], expected)
    return data


def _refuse_columns(columns: Columns, source: Source, name: str) -> None:
    """Only a log of the user's own needs names of columns."""
    if columns and "columns" not in source.accepts:
        raise DataError(f"columns are for data of your own; those of {name} are known")


def read_log(name: str, data: Path | None = None, *, folder: Path | None = None, columns: Columns = NOTHING) -> "Log":
    """A data set as it is, to be examined: nothing is checked but that it can be read.

    Args:
        name: a task, or the path of a log; a file in OGBench's format needs no task, but has no rewards without.
        data: the task's training file, searched for without, but never downloaded.
        folder: for tables that are memory-mapped, where a log of your own is too large for memory.
        columns: names of the arrays of a log of your own; see `drol.data.files.read`.

    Raises:
        DataError: if it cannot be read.
    """
    path = Path(name).expanduser()
    if not columns and path.suffix.lower() == ".npz" and path.is_file() and ogbench.is_format(path):
        return ogbench.read(path)
    task = parse_task(name)
    _refuse_columns(columns, task.source, task.name)
    return task.source.read(task.name, Request(path=data, folder=folder, columns=columns))
