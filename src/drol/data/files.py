"""Your own logs on disk: npz, HDF5, or a folder of episodes."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from drol.data.dataset import Dataset
from drol.data.log import Log
from drol.data.mapped import MEMORY_SHARE, Column, memory_bytes
from drol.data.readers import imitation
from drol.data.readers.columns import BOUNDS, NOTHING, Columns, canonical, choose
from drol.data.readers.formats import Arrays, absence, data_files, format_of, opened
from drol.data.readers.layout import Layout, layout_of
from drol.data.readers.named_arrays import log_of_columns
from drol.data.readers.npz import UNREAD
from drol.data.split import hold_out
from drol.data.transitions import to_transitions
from drol.data.units import units_of
from drol.errors import DataError
from drol.files import listed, sha256

LARGE = ("observations", "actions", "next_observations")
SMALL = ("rewards", "terminated", "truncated", "ends", "index", "next_index", "rows")

Bounds = tuple[np.ndarray, np.ndarray]


def load(
    path: Path,
    *,
    bounds: Bounds | None = None,
    default_bounds: Bounds | None = None,
    folder: Path | None = None,
    columns: Columns = NOTHING,
) -> Dataset:
    """Training and validation data of a log, in the learner's units.

    The validation data are the episodes of `NAME-val.npz` (or `.hdf5`) next to the file if it exists, otherwise one
    episode in twenty; there are none if the log has fewer than twenty episodes or is memory-mapped.

    Args:
        path: see `read`.
        bounds: of the actions, instead of those the log states; each (action,) or one number for all.
        default_bounds: for logs that state none.
        folder: if given, the large tables are written there and memory-mapped.
        columns: see `read`.

    Raises:
        DataError: names the file, the array, the row, what was expected and what was found.
    """
    beside = path.with_name(f"{path.stem}-val{path.suffix}")
    has_validation = path.is_file() and beside.exists()
    log = read(path, folder, columns)
    train, held_out = (
        (log, read(beside, columns=columns)) if has_validation else (log, None) if folder else hold_out(log)
    )
    if has_validation and held_out is not None:
        _check_alike(train, held_out, f"{path} and its validation file")
    parts = [train] if held_out is None else [train, held_out]
    if bounds is None and log.action_low is None:
        bounds = default_bounds
    if bounds is not None:
        parts = [dataclasses.replace(part, action_low=bounds[0], action_high=bounds[1]) for part in parts]
    units = units_of(parts[0])
    first = to_transitions(parts[0], units, folder=folder)
    rest = [to_transitions(part, units) for part in parts[1:]]
    files = data_files(path) if path.is_dir() else [path, beside] if has_validation else [path]
    names = [f.relative_to(path).as_posix() if path.is_dir() else f.name for f in files]
    source = {
        "kind": "own",
        "files": [
            {"name": name, "bytes": f.stat().st_size, "sha256": sha256(f)} for name, f in zip(names, files, strict=True)
        ],
    }
    left_out = () if log.left_out is None else (f"{log.where}: {log.left_out}",)
    return Dataset(first, rest[0] if rest else None, source, units, (*log.notes, *left_out))


def read(path: Path, folder: Path | None = None, columns: Columns = NOTHING) -> Log:
    """Read a log from a file, or from a folder with one file (or sub-folder with a file) per episode, in the natural
    order of their names.

    The arrays are those of `from_arrays`. `terminals` and `terminations` mean `terminated`, `timeouts` and
    `truncations` mean `truncated`; `dones` flags ends of both kinds, so that one kind, if given, yields the other.
    Several arrays in a group `observations/` are laid side by side, in alphabetical order. Without `next_observations`,
    s' is the next row's observation, and rows that end an episode without being terminated are left out, because what
    followed them is unknown; an episode may instead include its final observation: one more row of observations than
    of actions. `action_low` and `action_high` (m,) state bounds other than [-1, 1]. `qpos` and `qvel` are used by
    `drol doctor --env`.

    Groups whose names differ only in numbers (`data/demo_0`, `data/demo_1`, ...) hold one episode each, in numerical
    order; robomimic's names `obs` and `next_obs` are understood in them. The last row of a group ends its episode: as a
    true end if `terminated` says so, otherwise as truncated. `dones` alone is read as `terminated` there.

    Args:
        path: the file or folder.
        folder: if given, the large tables are copied into it and memory-mapped.
        columns: the file's names for our arrays: `{"observations": "obs/state", "actions": "acts"}`. `/` separates
            groups, and if each episode has a group, names are relative to it. A group's name means all its arrays,
            `a+b` lays arrays side by side, and None means that there is none (`{"terminated": None}`: no true ends).

    Raises:
        DataError: names the file, the array, what was expected and what was found.
    """
    said = canonical(columns)
    if path.is_dir():
        return concatenated((read(file, columns=said) for file in data_files(path)), str(path), folder)
    with opened(path) as arrays:
        if not said and imitation.is_format(arrays.names):
            stored = {name: arrays.read(name) for name in (*imitation.NAMES, "rews") if name in arrays.names}
            parts = imitation.episodes(stored, str(path))
            return concatenated((log_of_columns(part, str(path), episode=True) for part in parts), str(path), folder)
        layout = layout_of(arrays.names, said, str(path))
        said = layout.within(said)
        if layout.episodic:
            empty: list[str] = []
            log = concatenated(_episodes(arrays, layout, said, path, empty), str(path), folder)
            passed_over = (f"episodes without rows are skipped: {listed(empty)}",) if empty else ()
            return dataclasses.replace(log, notes=(*log.notes, *passed_over))
        (names,) = layout.groups.values()
        return log_of_columns(_stored(arrays, names, said, str(path), folder), str(path), folder, said)


def _episodes(arrays: Arrays, layout: Layout, columns: Columns, path: Path, empty: list[str]) -> Iterator[Log]:
    """The logs of the groups of a file, one after another; those without rows are listed in `empty` instead."""
    bounds = {name: arrays.read(name) for name in BOUNDS if name in arrays.names}
    for group, names in layout.groups.items():
        where = f"{path}, {group}"
        stored = bounds | _stored(arrays, names, columns, where, None, episode=True)
        rows = [stored[name].shape[:1] for name in choose(names, columns, where, episode=True).parts.get("actions", ())]
        if (0,) in rows:
            empty.append(group)
        else:
            yield log_of_columns(stored, where, None, columns, episode=True)
    if len(empty) == len(layout.groups):
        raise DataError(f"{path}: none of its {len(empty):,} episodes has any rows; at least one transition is needed")


def _stored(
    arrays: Arrays,
    names: Mapping[str, str],
    columns: Columns,
    where: str,
    folder: Path | None,
    *,
    episode: bool = False,
) -> dict[str, np.ndarray]:
    """The arrays of a group by their names in it; unused ones are not read but listed as `UNREAD`."""
    used = set(choose(names, columns, where, episode=episode).stored)
    targets = {name: folder and folder / f"column{number}.npy" for number, name in enumerate(names)}
    return {name: arrays.read(names[name], targets[name]) if name in used else UNREAD for name in names}


def check_readable(path: Path) -> None:
    """Raise early if a path cannot be a log.

    Raises:
        DataError: if the path does not exist, or is not a file or folder that can be read; says what it is.
    """
    if not path.exists():
        raise DataError(absence(path))
    for file in data_files(path) if path.is_dir() else [path]:
        format_of(file)


def is_large(path: Path, share: float = MEMORY_SHARE, columns: Columns = NOTHING) -> bool:
    """Whether the arrays of a file, or of a folder's files, take more than a share of memory."""
    files = [path] if path.is_file() else data_files(path) if path.is_dir() else []
    return sum(_bytes_of(file, canonical(columns)) for file in files) > share * memory_bytes()


def _bytes_of(path: Path, columns: Columns) -> int:
    """The memory that the used arrays of a file take; 0 if it is unreadable, which `read` will report."""
    with contextlib.suppress(DataError, OSError), opened(path) as arrays:
        layout = layout_of(arrays.names, columns, str(path))
        columns = layout.within(columns)
        return sum(
            arrays.nbytes(names[name])
            for names in layout.groups.values()
            for name in choose(names, columns, str(path), episode=layout.episodic).stored
        )
    return 0


def concatenated(logs: Iterable[Log], where: str, folder: Path | None = None) -> Log:
    """Logs concatenated into one; the last transition of each ends an episode.

    Args:
        logs: at least one; taken one at a time.
        where: the whole, for messages.
        folder: if given, the large tables are written there and memory-mapped.

    Raises:
        DataError: if their columns differ.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*LARGE, *SMALL)}
    states: dict[str, list[np.ndarray]] = {}
    first, rows, successors, left_out = None, 0, 0, None
    notes: dict[str, None] = {}
    parts: list[tuple[int, str]] = []
    with contextlib.ExitStack() as stack:
        writers = {name: stack.enter_context(contextlib.closing(Column(name, folder))) for name in LARGE}
        for log in logs:
            first = first or log
            _check_alike(first, log, where)
            for name in LARGE:
                if (array := getattr(log, name)) is not None:
                    writers[name].append(array)
            for name in SMALL:
                shift = {"index": rows, "rows": rows, "next_index": successors}.get(name, 0)
                if (array := getattr(log, name)) is not None:
                    columns[name].append(array + shift if shift else array)
            for name, array in log.states.items():
                states.setdefault(name, []).append(array)
            left_out = log.left_out if left_out is None else left_out + log.left_out
            parts += [(rows + start, name) for start, name in log.parts or [(0, _part(log.where, where))]]
            notes |= dict.fromkeys(log.notes)
            rows += len(log.observations)
            successors += len(log.successors)
    assert first is not None
    joined = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    joined |= {name: table for name, writer in writers.items() if (table := writer.finished()) is not None}
    whole = {name: np.concatenate(parts) for name, parts in states.items() if sum(map(len, parts)) == rows}
    return dataclasses.replace(
        first, where=where, **joined, states=whole, left_out=left_out, notes=tuple(notes), parts=tuple(parts)
    )


def _part(part: str, whole: str) -> str:
    """What a file of a folder, or a group of a file, is called within it."""
    return part.removeprefix(whole).lstrip("/, ") or part


def _check_alike(first: Log, log: Log, where: str) -> None:
    for name in (*LARGE, *SMALL):
        mine, theirs = getattr(log, name), getattr(first, name)
        if (mine is None) != (theirs is None) or (mine is not None and mine.shape[1:] != theirs.shape[1:]):
            raise DataError(
                f"{where}: all files must have the same format, but {name!r} differ in {first.where} and {log.where}"
            )
    bounds = [(entry.action_low, entry.action_high) for entry in (first, log)]
    if not all(np.array_equal(mine, theirs) for mine, theirs in zip(*bounds, strict=True)):  # pyright: ignore
        raise DataError(
            f"{where}: all files must state the same bounds of actions; {first.where} and {log.where} differ"
        )
