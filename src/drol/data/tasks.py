"""What can be trained on, by name: OGBench's tasks, D4RL's, Minari's data sets, and logs of your own."""

import contextlib
import dataclasses
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drol.data import files, formats
from drol.data.columns import NOTHING, Columns
from drol.data.download import check_expected
from drol.data.log import Log
from drol.data.offline import OfflineData
from drol.environments import d4rl_tasks
from drol.environments.named import from_file
from drol.environments.spec import EnvironmentSpec, action_bounds
from drol.extras import MissingExtraError, quiet, require
from drol.files import DataError
from drol.modules import import_named

MINARI = "minari:"
OGBENCH = "-singletask"
NOWHERE = "none"


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set and the environment it is judged in.

    Attributes:
        name: what names it again; the absolute path of a log of your own.
        label: what run folders are called after.
        kind: whose it is.
        environment: where policies are evaluated; None where nobody has named one.
    """

    name: str
    label: str
    kind: Literal["ogbench", "d4rl", "minari", "own"]
    environment: EnvironmentSpec | None


def parse_task(name: str, *, environment: str | None = None, present: bool = False) -> Task:
    """What `name` means: an OGBench or D4RL task, `minari:DATASET`, or the path of a log.

    Args:
        name: as given on the command line.
        environment: evaluate there instead; see `environment_of`.
        present: whether a log of your own must be there, in a form that is read.

    Raises:
        DataError: if it means nothing; the message names the nearest task, or says what the file is.
    """
    task = _parse(name)
    if present and task.kind == "own":
        files.check_readable(Path(task.name))
    return task if environment is None else dataclasses.replace(task, environment=environment_of(environment))


def _parse(name: str) -> Task:
    if name.startswith(MINARI):
        dataset = name.removeprefix(MINARI)
        return Task(name, f"minari-{dataset.replace('/', '-')}", "minari", EnvironmentSpec(dataset, kind="minari"))
    if d4rl_tasks.is_d4rl(name):
        return Task(name, name, "d4rl", EnvironmentSpec(name, kind="d4rl"))
    is_path = formats.looks_like_a_path(name)
    if OGBENCH in name and not (is_path and Path(name).suffix):
        from drol.data import ogbench

        if name in ogbench.known_tasks():
            return Task(name, name, "ogbench", EnvironmentSpec(f"ogbench:{ogbench.parse_task(name).env_id}"))
    if is_path:
        path = Path(name).expanduser()
        return Task(str(path.absolute()), path.stem, "own", None)
    raise DataError(f"unknown task {name!r}{_nearest(name)}")


def _nearest(name: str) -> str:
    """The nearest known task, and what other names there are."""
    known = list(d4rl_tasks.TASKS)
    with contextlib.suppress(MissingExtraError):
        from drol.data import ogbench

        known += ogbench.known_tasks()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    file = formats.namesake(name)
    return (
        f"; {'' if file is None else f'there is the file {file}, and '}the nearest known is {near[0]!r}. Data of your "
        f"own are named by their file or folder, Minari's as minari:DATASET"
    )


def environment_of(name: str) -> EnvironmentSpec | None:
    """The environment of a task, or the one gymnasium knows by that name (`module:Id-v0` imports the module first).

    `none` is no environment at all.

    Raises:
        DataError: if there is none of that name.
    """
    if name == NOWHERE:
        return None
    if name.startswith(MINARI) or d4rl_tasks.is_d4rl(name) or OGBENCH in name:
        return _parse(name).environment
    require("gymnasium", "train")
    import gymnasium

    module, _, known = name.rpartition(":")
    try:
        with quiet():
            if module:
                import_named(module)
            gymnasium.spec(known)
    except (gymnasium.error.Error, ImportError) as error:
        raise DataError(
            f"there is no environment {name!r} ({error}); expected a task, a gymnasium id such as Pendulum-v1, or "
            f"module:Id-v0, whose module registers it"
        ) from None
    return EnvironmentSpec(name)


def environment_of_task(name: Any, where: str) -> EnvironmentSpec | None:
    """The environment of a task that a file names; None for a log of the user's own, which has none.

    Raises:
        DataError: if making it would import what only the file names; see `drol.environments.named`.
    """
    if not isinstance(name, str):
        return None
    if name.startswith(MINARI) or d4rl_tasks.is_d4rl(name) or OGBENCH in name:
        environment = _parse(name).environment
    else:
        environment = None if formats.looks_like_a_path(name) else EnvironmentSpec(name)
    return environment and from_file(environment.as_record(), where)


def load(
    task: Task,
    *,
    path: Path | None = None,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
    folder: Path | None = None,
    columns: Columns = NOTHING,
    progress: Callable[[int, int | None], None] | None = None,
    expected: str | None = None,
) -> OfflineData:
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
    data = _loaded(task, path, bounds, folder, columns, progress, expected)
    if expected is not None:
        if task.kind == "minari" or (task.kind == "own" and Path(task.name).is_dir()):
            raise DataError(f"a SHA-256 is that of one file, and {task.name} is a folder of several")
        file = data.source["files"][0]
        check_expected(file["name"], file["sha256"], expected)
    return data


def _loaded(
    task: Task,
    path: Path | None,
    bounds: tuple[np.ndarray, np.ndarray] | None,
    folder: Path | None,
    columns: Columns,
    progress: Callable[[int, int | None], None] | None,
    expected: str | None,
) -> OfflineData:
    """The data by their source."""
    if bounds is not None and task.kind != "own":
        raise DataError(f"bounds of actions are for data of your own; those of {task.name} are known")
    _refuse_columns(columns, task)
    if path is not None and task.kind in ("minari", "own"):
        raise DataError(f"{task.name} names its data itself: leave --data out")
    if task.kind == "own":
        default = None if bounds is not None or task.environment is None else _bounds_in(task.environment)
        return files.load(Path(task.name), bounds=bounds, default_bounds=default, folder=folder, columns=columns)
    if task.kind == "d4rl":
        from drol.data import d4rl

        return d4rl.load(task.name, path=path, progress=progress, expected=expected)
    if task.kind == "minari":
        from drol.data import minari

        return minari.load(task.name.removeprefix(MINARI), progress=progress)
    from drol.data import ogbench

    return ogbench.load(ogbench.parse_task(task.name), path=path, progress=progress, expected=expected)


def _refuse_columns(columns: Columns, task: Task) -> None:
    """Only a log of the user's own needs names of columns."""
    if columns and task.kind != "own":
        raise DataError(f"columns are for data of your own; those of {task.name} are known")


def _bounds_in(environment: EnvironmentSpec) -> tuple[np.ndarray, np.ndarray] | None:
    with quiet():
        env = environment.make()
    with contextlib.closing(env):
        return action_bounds(env.action_space)


def read_log(name: str, data: Path | None = None, *, folder: Path | None = None, columns: Columns = NOTHING) -> Log:
    """A data set as it is, to be examined: nothing is checked but that it can be read.

    Args:
        name: a task, or the path of a log; a file in OGBench's format needs no task, but has no rewards without.
        data: the task's training file, searched for without, but never downloaded.
        folder: for tables that are memory-mapped, where a log of your own is too large for memory.
        columns: names of the arrays of a log of your own; see `drol.data.files.read`.

    Raises:
        DataError: if it cannot be read.
    """
    from drol.data import ogbench

    path = Path(name).expanduser()
    if not columns and path.suffix.lower() == ".npz" and path.is_file() and ogbench.is_format(path):
        return ogbench.read(path)
    task = _parse(name)
    _refuse_columns(columns, task)
    if task.kind == "own":
        return files.read(Path(task.name), folder, columns)
    if task.kind == "minari":
        from drol.data import minari

        return minari.read(task.name.removeprefix(MINARI))
    if task.kind == "d4rl":
        from drol.data import d4rl

        return d4rl.read(task.name, data or d4rl.dataset_folder() / d4rl_tasks.task(task.name).file)
    parsed = ogbench.parse_task(task.name)
    return ogbench.read(data or ogbench.CACHE.expanduser() / f"{parsed.dataset}.npz", parsed)
