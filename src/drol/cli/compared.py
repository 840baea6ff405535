"""What `drol compare` works on: the tasks of its folder and the files they are trained on."""

import argparse
import glob
import itertools
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from drol.compare import comparison as comparisons
from drol.compare.cells import RESULTS, Cell
from drol.compare.comparison import Comparison
from drol.errors import DataError, UsageError
from drol.files import listed, read_json, sha256, write_json
from drol.sources import OWN, Task, parse_task
from drol.training.folder import RunFolder

DATA = "data"
"""The folder of collected data sets."""

NAMES = "tasks.json"
"""The file that stores what each task was called on the command line, by label; a log is called by its path, which
results do not contain."""


def refuse_foreign(out: Path, labels: Collection[str]) -> None:
    """Raise if a folder holds anything but a comparison, which is recognised by its file or the runs of its tasks.

    Raises:
        DataError: naming the folder.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder with --out")
    if not out.is_dir() or (out / RESULTS / comparisons.FILE).exists():
        return
    known = {out / NAMES, out / DATA, out / RESULTS, *(out / label for label in labels)}
    wrong = [path for path in out.iterdir() if path not in known and not path.name.startswith(".")]
    # A task's folder holds logs, and a folder of seeds per algorithm; results hold a folder per task, and the table.
    for label in labels:
        wrong += [path for path in out.glob(f"{glob.escape(label)}/*/*") if not path.name.startswith("seed")]
    for label in (*labels, RESULTS):
        inside = out.glob(f"{glob.escape(label)}/*")
        wrong += [path for path in inside if path.is_file() and path.suffix not in (".log", ".json", ".md")]
    if wrong:
        raise DataError(
            f"{out} is not empty and holds no comparison (it contains "
            f"{listed(sorted(path.name for path in wrong), 3)}); choose another folder with --out"
        )


def names(parsed: argparse.Namespace, begun: Comparison | None, default: Iterable[str]) -> dict[str, str | None]:
    """The tasks of this call: those that are given, else those of the folder, else the default.

    Args:
        parsed: the command's options.
        begun: the comparison in the folder, if there is one.
        default: names of tasks.

    Returns:
        The name of each task, by what was given: a task of the folder may be given by its label, as in messages. None
        if its name is no longer known.
    """
    before = {} if begun is None else {label: _name(parsed.out, label) for label in begun.tasks}
    return {given: before.get(given, given) for given in parsed.task or before or default}


def named_tasks(names: Mapping[str, str | None], environment: str | None) -> dict[str, Task]:
    """The tasks by label.

    Args:
        names: see `names`.
        environment: evaluate there instead of in the task's own.

    Raises:
        DataError: for unknown names, two different tasks with one label, or a label that is reserved.
    """
    tasks: dict[str, Task] = {}
    for given, name in names.items():
        task = parse_task(given, environment=environment) if name == given else _task(name, given, environment)
        other = tasks.setdefault(task.label, task)
        if other.name != task.name:
            raise DataError(f"{other.name} and {task.name} would both be called {task.label}; rename one of them")
        if task.label in (DATA, RESULTS):
            raise DataError(
                f"{task.name} would be called {task.label}, which is a folder of every comparison; rename it"
            )
    return tasks


def save_names(out: Path, tasks: Mapping[str, Task]) -> None:
    """Store what the tasks were called."""
    names = _names(out) | {label: task.name for label, task in tasks.items() if task.name}
    write_json(out / NAMES, dict(sorted(names.items())))


def _names(out: Path) -> dict[str, str]:
    """What tasks were called, as far as it is stored."""
    names = read_json(out / NAMES) if (out / NAMES).exists() else {}
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise DataError(f"{out / NAMES} does not hold the names of tasks; remove it, and name them again")
    return names


def _name(out: Path, label: str) -> str | None:
    """What a task of the folder was called; None if unknown. Earlier versions stored it only in the runs."""
    if (name := _names(out).get(label)) is not None:
        return name
    configs = sorted(out.glob(f"{glob.escape(label)}/*/seed*/config.json"))
    return RunFolder(configs[0].parent).read_config()["task"] if configs else None


def _task(name: str | None, label: str, environment: str | None) -> Task:
    """A task of the folder. Its data need to exist only if something is trained."""
    try:
        return parse_task(label if name is None else name, environment=environment)
    except DataError:
        if name is not None and not Path(name).is_absolute():
            raise
        return Task(name or "", label, OWN, None)


def refuse_missing(task: Task) -> None:
    """Raise if the user's own log is no longer where it was.

    Raises:
        DataError: saying where it was.
    """
    if task.source.is_present(task.name):
        return
    if not task.name:
        raise DataError(f"it is no longer known where the data of {task.label} are; name their file or folder as TASK")
    raise DataError(f"{task.name} does not exist; name the file or folder with the data of {task.label} as TASK")


def training_files(parsed: argparse.Namespace, tasks: Mapping[str, Task]) -> dict[str, Path]:
    """The existing training files by task: those that --data names, and those that were collected earlier.

    Raises:
        DataError: if a named file does not exist, or --data, --collect or --columns does not apply.
    """
    collections = {label: collection(parsed.out, task) for label, task in tasks.items()}
    files = {label: found[1] for label, found in collections.items() if found is not None and found[1].exists()}
    for label, found in collections.items():
        if parsed.collect is not None and found is None:
            raise UsageError(f"--collect is for tasks with an expert, but {label} has none: leave it out")
    if parsed.columns is not None and not any("columns" in task.source.accepts for task in tasks.values()):
        raise UsageError("--columns names the arrays of your own logs, but no task is one: leave it out")
    for text in parsed.data:
        label, separator, name = text.partition("=")
        if not separator or label not in tasks:
            raise UsageError(f"--data needs TASK=FILE with one of the tasks {listed(tasks)}; found {text!r}")
        if "path" not in tasks[label].source.accepts:
            raise UsageError(f"{label} names its data itself: leave --data out")
        files[label] = Path(name)
        if not files[label].is_file():
            raise DataError(f"{name} does not exist; --data must name the training file of {label}")
    return files


def collection(out: Path, task: Task) -> tuple[str, Path] | None:
    """The name of a task's data set for `drol collect`, and its file; None if it cannot be collected."""
    data_set = task.source.data_set(task.name)
    if data_set is None:
        return None
    path = out / DATA / task.source.file_name(data_set)
    return path.stem, path


def refuse_other_data(out: Path, comparison: Comparison, task: Task, file: Path | None) -> None:
    """Raise if cells of a task were trained on different data, or on data other than the current ones.

    Args:
        out: the comparison's folder.
        comparison: all of its cells are checked, whichever are to be trained.
        task: whose cells are checked.
        file: its training file, if one was named or collected.

    Raises:
        DataError: naming what does not belong together.
    """
    cells = [Cell(out, task.label, method) for method in comparison.methods]
    used = [(cell.path, data) for cell in cells if (data := cell.data(comparison))]
    for (first, expected), (path, found) in itertools.pairwise(used):
        if found != expected:
            raise DataError(f"{first} and {path} were trained on different data; remove the wrong one")
    if not used:
        return
    path, before = used[0][0], set(used[0][1].values())
    if file is not None and sha256(file) not in before:
        raise DataError(f"{path} was trained on data other than {file}; name its data with --data {task.label}=FILE")
    own = task.source.own_files(task.name)
    if own is not None and not before <= {sha256(found) for found in own}:
        raise DataError(f"{path} was trained on data other than those in {task.name}; choose another folder with --out")
