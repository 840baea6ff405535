"""Your own logs on disk: npz, HDF5, or a folder of episodes."""

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from drol.data.arrays import (
    bound_for,
    hold_out,
    in_memory,
    log_of_tuples,
    to_transitions,
    units_of,
)
from drol.data.checks import check_flags, check_table, column
from drol.data.hdf5 import hdf5_bytes, read_hdf5
from drol.data.log import BLOCK, LeftOut, Log
from drol.data.mapped import MEMORY_SHARE, Column, memory_bytes, room_in
from drol.data.npz import npz_bytes, read_npz
from drol.data.offline import OfflineData
from drol.environments.flatten import flatten
from drol.files import DataError, clear_write_errors, sha256

READERS = {".npz": (read_npz, npz_bytes), ".hdf5": (read_hdf5, hdf5_bytes), ".h5": (read_hdf5, hdf5_bytes)}

ALIASES = {
    "terminated": ("terminals", "terminations"),
    "truncated": ("timeouts", "truncations"),
}
"""Names that mean the same."""

LARGE = ("observations", "actions", "next_observations")
SMALL = ("rewards", "terminated", "truncated", "ends", "index", "next_index", "rows")

STATES = ("qpos", "qvel", "infos/qpos", "infos/qvel")
BOUNDS = ("action_low", "action_high")

OURS = {
    *("observations", "actions", "rewards", "next_observations", *STATES, *BOUNDS),
    *ALIASES,
    *(alias for aliases in ALIASES.values() for alias in aliases),
}

Bounds = tuple[np.ndarray, np.ndarray]

EXPECTED = (
    "'observations' (T, n), 'actions' (T, m), 'rewards' (T,), 'terminated' (T,) and, where there are such, 'truncated' "
    "(T,) and 'next_observations' (T, n)"
)


def load(
    path: Path, *, bounds: Bounds | None = None, default_bounds: Bounds | None = None, folder: Path | None = None
) -> OfflineData:
    """Training and validation data of a log, in the learner's units.

    Validation are the episodes of `NAME-val.npz` (or `.hdf5`) beside the file if it is there, else one episode in
    twenty; none where there are fewer than twenty, or where the log is mapped.

    Args:
        path: see `read`.
        bounds: of the actions, instead of those the log states; (action,) or one number for all, each.
        default_bounds: for logs that state none.
        folder: where given, the large tables are written there and memory-mapped.

    Raises:
        DataError: naming the file, the array, the row, what was expected and what was found.
    """
    beside = path.with_name(f"{path.stem}-val{path.suffix}")
    has_validation = path.is_file() and beside.exists()
    log = read(path, folder)
    train, held_out = (log, read(beside)) if has_validation else (log, None) if folder else hold_out(log)
    if has_validation and held_out is not None:
        _check_alike(train, held_out, f"{path} and its validation file")
    parts = [train] if held_out is None else [train, held_out]
    if bounds is None and log.action_low is None:
        bounds = default_bounds
    if bounds is not None:
        parts = [dataclasses.replace(part, action_low=bounds[0], action_high=bounds[1]) for part in parts]
    units = units_of(parts[0])
    first = to_transitions(parts[0], units, allocate=in_memory if folder is None else room_in(folder))
    rest = [to_transitions(part, units) for part in parts[1:]]
    files = _files_of(path) if path.is_dir() else [path, beside] if has_validation else [path]
    source = {
        "kind": "own",
        "files": [{"name": f.name, "bytes": f.stat().st_size, "sha256": sha256(f)} for f in files],
    }
    left_out = () if log.left_out is None else (f"{log.where}: {log.left_out}",)
    return OfflineData(first, rest[0] if rest else None, source, units, (*log.notes, *left_out))


def read(path: Path, folder: Path | None = None) -> Log:
    """Read a log from a file, or from a folder with one file per episode (in the order of their names).

    The arrays are those of `from_arrays`. `terminals` and `terminations` mean `terminated`, `timeouts` and
    `truncations` mean `truncated`. Several arrays in a group `observations/` are laid side by side, in alphabetical
    order. Without `next_observations`, s' is the next row's observation, and rows that end an episode without being
    terminated are left out, because nobody knows what followed them; an episode may instead bring its final observation
    along: one more row of observations than of actions. `action_low` and `action_high` (m,) state other bounds than
    [-1, 1]. `qpos` and `qvel` serve `drol doctor --env`.

    Args:
        path: the file or folder.
        folder: where given, the large tables are copied into it and memory-mapped.

    Raises:
        DataError: naming the file, the array, what was expected and what was found.
    """
    if path.is_dir():
        return _read_folder(path, folder)
    return log_of_columns(_columns(path, folder), str(path), folder)


def is_large(path: Path, share: float = MEMORY_SHARE) -> bool:
    """Whether the arrays of a file, or of a folder's files, take more than a share of memory."""
    files = [path] if path.is_file() else list(path.glob("*"))
    return (
        sum(READERS[file.suffix][1](file, _is_ours) for file in files if file.suffix in READERS)
        > share * memory_bytes()
    )


def _columns(path: Path, folder: Path | None) -> dict[str, np.ndarray]:
    if path.suffix not in READERS:
        raise DataError(f"{path}: expected a file ending in {', '.join(READERS)}, or a folder of such files")
    if not path.exists():
        raise DataError(f"{path} does not exist; name a log file, or a folder of them")
    return READERS[path.suffix][0](path, folder, wanted=_is_ours)


def _is_ours(name: str) -> bool:
    """Whether an array of that name means something here; others may hold whatever they like."""
    return name in OURS or name.startswith(("observations/", "next_observations/"))


def _read_folder(path: Path, folder: Path | None) -> Log:
    files = _files_of(path)
    if not files:
        raise DataError(f"{path}: expected one file per episode ({', '.join(READERS)}), found none")
    return concatenated((read(file) for file in files), str(path), folder)


def _files_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in READERS and not file.name.startswith("."))


def concatenated(logs: Iterable[Log], where: str, folder: Path | None = None) -> Log:
    """Logs one after the other as one; each one's last transition ends an episode.

    Args:
        logs: at least one; taken one at a time.
        where: what to call the whole in messages.
        folder: where given, the large tables are written there and memory-mapped.

    Raises:
        DataError: if their columns differ.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*LARGE, *SMALL)}
    states: dict[str, list[np.ndarray]] = {}
    first, rows, successors, left_out = None, 0, 0, None
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
            rows += len(log.observations)
            successors += len(log.successors)
    assert first is not None
    joined = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    joined |= {name: table for name, writer in writers.items() if (table := writer.finished()) is not None}
    whole = {name: np.concatenate(parts) for name, parts in states.items() if sum(map(len, parts)) == rows}
    return dataclasses.replace(first, where=where, **joined, states=whole, left_out=left_out)


def _check_alike(first: Log, log: Log, where: str) -> None:
    for name in (*LARGE, *SMALL):
        mine, theirs = getattr(log, name), getattr(first, name)
        if (mine is None) != (theirs is None) or (mine is not None and mine.shape[1:] != theirs.shape[1:]):
            raise DataError(
                f"{where}: all files must be of one kind, but {name!r} differ in {first.where} and {log.where}"
            )
    bounds = [(entry.action_low, entry.action_high) for entry in (first, log)]
    if not all(np.array_equal(mine, theirs) for mine, theirs in zip(*bounds, strict=True)):  # pyright: ignore
        raise DataError(
            f"{where}: all files must state the same bounds of actions; {first.where} and {log.where} differ"
        )


def log_of_columns(columns: Mapping[str, np.ndarray], where: str, folder: Path | None = None) -> Log:
    """A log of named arrays; see `read`.

    Raises:
        DataError: naming the array, what was expected and what was found.
    """
    named = _named(columns, where, folder)
    for name in ("observations", "actions"):
        check_table(name, named[name], None, where)
    log = log_of_tuples(named, where) if "next_observations" in named else _log_of_rows(named, where)
    if len(columns.keys() & set(BOUNDS)) == 1:
        raise DataError(f"{where}: 'action_low' and 'action_high' belong together; store both")
    states = {name.removeprefix("infos/"): named[name] for name in STATES if name in named}
    return dataclasses.replace(
        log,
        states={name: array for name, array in states.items() if len(array) == len(log.observations)},
        **{name: bound_for(log.actions.shape[-1], columns[name]) for name in BOUNDS if name in columns},
    )


def _named(columns: Mapping[str, np.ndarray], where: str, folder: Path | None) -> dict[str, np.ndarray]:
    """The arrays under one name each, with what is needed there."""
    named = {name: array for name, array in columns.items() if array.ndim or name in ALIASES}
    for name, aliases in ALIASES.items():
        given = [alias for alias in (name, *aliases) if alias in columns]
        if len(given) > 1:
            raise DataError(f"{where}: {' and '.join(map(repr, given))} mean the same; keep one of them")
        if given:
            named[name] = columns[given[0]]
    for name in ("observations", "next_observations"):
        parts = {key.removeprefix(f"{name}/"): array for key, array in columns.items() if key.startswith(f"{name}/")}
        if parts and name not in named:
            if len({array.shape[:1] for array in parts.values()} | {()}) != 2:
                raise DataError(f"{where}: the arrays of {name!r} must have the same number of rows")
            named[name] = _side_by_side(parts, None if folder is None else folder / f"{name}.npy")
    missing = [name for name in ("observations", "actions", "terminated") if name not in named]
    if missing:
        found = ", ".join(sorted(columns)) or "none"
        hint = "; 'dones' does not tell an end from a time-out: split it" if "dones" in columns else ""
        raise DataError(f"{where}: expected {EXPECTED}; {', '.join(missing)} missing, found {found}{hint}")
    return named


def _side_by_side(parts: Mapping[str, np.ndarray], target: Path | None) -> np.ndarray:
    """Arrays of as many rows each as one table, in memory or in a file."""
    rows = len(next(iter(parts.values())))
    if target is None:
        return flatten(parts, rows)
    sample = flatten({name: part[:0] for name, part in parts.items()}, 0)
    with clear_write_errors(target):
        table = np.lib.format.open_memmap(target, "w+", sample.dtype, (rows, sample.shape[1]))
        for start in range(0, rows, BLOCK):
            stop = min(start + BLOCK, rows)
            table[start:stop] = flatten({name: part[start:stop] for name, part in parts.items()}, stop - start)
    return table


def _log_of_rows(columns: Mapping[str, np.ndarray], where: str) -> Log:
    """Rows in the order of time, without successors of their own."""
    observations, actions = columns["observations"], columns["actions"]
    count = len(actions)
    if len(observations) not in (count, count + 1):
        raise DataError(
            f"{where}: 'observations' must have as many rows as 'actions', {count}, or one more; found "
            f"{len(observations)}"
        )
    terminated = check_flags("terminated", columns["terminated"], count, where)
    truncated = check_flags("truncated", columns["truncated"], count, where) if "truncated" in columns else None
    number, ends = np.arange(count), terminated if truncated is None else terminated | truncated
    kept = np.full(count, True)
    if len(observations) == count:
        # What followed a time-out is unknown; what followed an end does not matter.
        kept = ~ends | terminated
        kept[-1:] &= terminated[-1:]
        next_index = np.where(terminated, number, number + 1)
    else:
        if ends[:-1].any():
            row = int(np.argmax(ends))
            raise DataError(
                f"{where}: with one more row of observations than of actions it must be a single episode, but it ends "
                f"in row {row} of {count}; put each episode into a file of its own"
            )
        next_index = number + 1
    rows = number[kept]
    last = np.append(rows[1:] != rows[:-1] + 1, True)[: len(rows)] | terminated[kept]
    rewards = columns.get("rewards")
    if rewards is not None:
        rewards = column("rewards", rewards, count, where)
    return Log(
        where=where,
        observations=observations,
        actions=actions if kept.all() else actions[kept],
        rewards=None if rewards is None else rewards[kept],
        terminated=terminated[kept],
        # A row that is both stays both, for the doctor to find.
        truncated=None if truncated is None else (last & ~terminated[kept]) | truncated[kept],
        ends=last,
        index=rows,
        next_index=next_index[kept],
        rows=rows,
        left_out=LeftOut.of(rewards, ~kept),
    )
