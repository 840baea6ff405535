"""The data of a task, as stored or ready for training."""

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
    """A data set ready for training: checked, split and in the learner's units.

    The folder where ogbench, d4rl or minari keeps its data is searched first; then the official download is tried.

    Args:
        name: an OGBench or D4RL task (`cube-single-play-singletask-task2-v0`, `pen-human-v1`), `minari:DATASET`, or the
            path of your own log: an npz or HDF5 file, or a folder with one such file per episode.
        path: the training file of an OGBench or D4RL task, instead of searching for it.
        bounds: lower and upper bounds of the actions in your own log, each (action,) or a single number; defaults to
            those that the log states, else those of `environment`, else -1 and 1.
        columns: our names of arrays -> those in your own log: `{"observations": "obs/state", "actions": "acts"}`.
        environment: where policies act; its action bounds are used if the log states none. See `drol.environment`.
        progress: called with (bytes so far, total bytes or None) during a download.
        sha256: the SHA-256 that the training file must have, in hexadecimal.

    Returns:
        Training and validation transitions, their source, and the units that policies need:
        `ReplayData.from_transitions(data.train)` samples batches, and `in_units(policy, data.units)` acts in the user's
        units.

    Raises:
        DataError: if the data set does not exist or is damaged; the message says what was expected and what was found.
        MissingExtraError: if a package that it needs is not installed; the message gives the install command.
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
        path: its training file; by default, the folder where its data sets are kept is searched, then the official
            download is tried.
        bounds: lower and upper bounds of the actions in your own log, each (action,) or a single number; defaults to
            those that the log states, else the environment's, else [-1, 1].
        folder: where memory-mapped tables are written if your own log is too large for memory.
        columns: names of the arrays in your own log; see `drol.data.files.read`.
        progress: called with (bytes so far, total bytes or None) during a download.
        expected: the SHA-256 of the training file, in hexadecimal.

    Raises:
        DataError: if the data are missing, damaged or not what they should be.
    """
    source = task.source
    if bounds is not None and "bounds" not in source.accepts:
        raise DataError(f"action bounds can be given only for your own data; those of {task.name} are known")
    _refuse_columns(columns, source, task.name)
    if path is not None and "path" not in source.accepts:
        raise DataError(f"{task.name} already names its data: leave --data out")
    if expected is not None and not source.has_one_file(task.name):
        raise DataError(f"a SHA-256 applies to a single file, but {task.name} is a folder of several; leave it out")
    data = source.load(task, Request(path, bounds, folder, columns, progress, expected))
    if expected is not None:
        file = data.source["files"][0]
        check_expected(file["name"], file["sha256"], expected)
    return data


def _refuse_columns(columns: Columns, source: Source, name: str) -> None:
    """Refuse column names for anything but the user's own log."""
    if columns and "columns" not in source.accepts:
        raise DataError(f"column names can be given only for your own data; those of {name} are known")


def read_log(name: str, data: Path | None = None, *, folder: Path | None = None, columns: Columns = NOTHING) -> "Log":
    """A data set as stored, for inspection; the only check is that it can be read.

    Args:
        name: a task, or the path of a log; a file in OGBench's format can be read without a task, but then has no
            rewards.
        data: the task's training file; searched for by default, but never downloaded.
        folder: where memory-mapped tables are written if your own log is too large for memory.
        columns: names of the arrays in your own log; see `drol.data.files.read`.

    Raises:
        DataError: if it cannot be read.
    """
    path = Path(name).expanduser()
    if not columns and path.suffix.lower() == ".npz" and path.is_file() and ogbench.is_format(path):
        return ogbench.read(path)
    task = parse_task(name)
    _refuse_columns(columns, task.source, task.name)
    return task.source.read(task.name, Request(path=data, folder=folder, columns=columns))
