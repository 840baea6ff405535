"""Collect data sets with experts, showing a progress bar."""

from pathlib import Path
from typing import Any

from drol.errors import DataError, UsageError, both
from drol.experiment.progress import counting
from drol.sources import Source, Task


def collected(task: Task, episodes: int, seed: int, folder: Path, workers: int) -> Path:
    """The task's data set with this many episodes, collected now unless it is already in `folder`.

    Raises:
        DataError: if the task has no expert.
    """
    data_set = task.source.data_set(task.name)
    if data_set is None:
        raise DataError(*both(f"--collect needs a task with an expert, one of OGBench or maze2d; {task.name} has none"))
    suffix = Path(task.source.file_name(data_set)).suffix
    path = folder / f"{data_set}-{episodes}episodes-seed{seed}{suffix}"
    if not path.exists():
        collect_data_set(task.source, data_set, episodes, seed, path, workers)
    return path


def collect_data_set(
    source: Source,
    data_set: str,
    episodes: int | None,
    seed: int,
    out: Path,
    workers: int,
    experts: Path | None = None,
) -> list[Path]:
    """Collect a data set with an expert, showing progress.

    Raises:
        UsageError: for a file name of another format.
        DataError: if it cannot be collected.
    """
    suffix = Path(source.file_name(data_set)).suffix
    source.check_collection(data_set, out)
    if out.suffix != suffix:
        raise UsageError(*both(f"--out must be a file name ending in {suffix}, found {str(out)!r}"))
    with counting(f"collecting {data_set}") as progress:
        given: dict[str, Any] = {"episodes": episodes, "seed": seed, "workers": workers, "experts": experts}
        return source.collect(data_set, out=out, progress=progress, **given)
