"""The data of a run: found, collected or downloaded, and checked to be the same when the run is resumed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drol.data.dataset import Dataset
from drol.data.readers.columns import NOTHING
from drol.data.rewards import sparse
from drol.data.units import normalised
from drol.errors import DataError, both
from drol.experiment.collecting import collected
from drol.experiment.config import RunConfig
from drol.experiment.progress import counting
from drol.files import sha256
from drol.processes import cores
from drol.sources import Task, load

Sums = Mapping[str, str]
"""File names by SHA-256."""


def load_inputs(config: RunConfig, task: Task, folder: Path, scratch: Path | None = None) -> Dataset:
    """Load a run's data, collecting them first if requested.

    Args:
        config: the run's.
        task: what to load.
        folder: where collected data are kept.
        scratch: a folder for mapped tables, if the data are to be mapped.
    """
    path = None if config.data is None else Path(config.data)
    if path is None and config.collect is not None:
        workers = config.workers or min(cores(), 8)
        path = collected(task, config.collect, config.collect_seed, folder, workers)
    bounds = None
    if config.action_low is not None and config.action_high is not None:
        bounds = np.array(config.action_low, np.float64), np.array(config.action_high, np.float64)
    with counting("downloading") as progress:
        data = load(
            task,
            path=path,
            bounds=bounds,
            folder=scratch,
            columns=config.columns or NOTHING,
            progress=progress,
            expected=config.sha256,
        )
    if config.sparse_rewards:
        data = sparse(data, task.name)
    return normalised(data) if config.normalize_observations else data


def refuse_to_collect(config: RunConfig) -> None:
    """Refuse to collect data in a run over several processes, all of which need them.

    Raises:
        DataError: if they were to be collected, and no file is named instead.
    """
    if config.data is None and config.collect is not None:
        raise DataError(
            *both("every process needs the data: collect them first with `drol collect`, then name them with --data")
        )


def sums_in(record: Mapping[str, object]) -> Sums:
    """The checksums of the files that a run was started on, from its record."""
    source = record["data"]
    assert isinstance(source, dict)
    return sums_of(source)


def sums_of(source: dict[str, Any]) -> Sums:
    """The checksums of a data set's files."""
    return {file["sha256"]: file["name"] for file in source["files"]}


def check_named_file(path: Path, stored: Sequence[Sums]) -> None:
    """Refuse to open a data file that runs' configurations name, unless it is the one they were started on.

    Args:
        path: the file.
        stored: the checksums that these runs recorded.

    Raises:
        DataError: if it is missing or has changed.
    """
    if not path.is_file() or not any(sha256(path) in sums for sums in stored):
        raise DataError(
            *both(f"the run was started on {path}, which is gone or has changed since; name its data with --data")
        )


def check_same_data(before: Sums, now: Sums) -> None:
    """Refuse to resume on data other than those a run was started on.

    Raises:
        DataError: naming a file that is missing or new.
    """
    for sums, others, words in ((before, now, "is missing now"), (now, before, "was not among them")):
        for checksum, name in sums.items():
            if checksum not in others:
                raise DataError(
                    *both(
                        f"the run was started on other data: {name} (SHA-256 {checksum[:12]}...) {words}; give the "
                        f"same data, or start a new run with another --out"
                    )
                )
