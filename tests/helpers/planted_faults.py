"""Faults to plant in sound logs, and what the doctor makes of a log."""

import collections
from collections.abc import Callable

import numpy as np

from drol.data.readers.named_arrays import log_of_columns
from drol.doctor import examine
from tests.helpers.sound_logs import ROWS, Columns


def _taken(log: Columns, at) -> Columns:
    return {name: column[at] if name in ROWS else column for name, column in log.items()}


def _ends(log: Columns) -> np.ndarray:
    return log["terminated"] | log["truncated"]


def _draws() -> np.random.Generator:
    return np.random.default_rng(77)


def _starts(log: Columns) -> np.ndarray:
    return np.append(0, np.flatnonzero(_ends(log))[:-1] + 1)


def shuffled(log: Columns) -> Columns:
    return _taken(log, _draws().permutation(len(log["actions"])))


def shuffled_between_flags(log: Columns) -> Columns:
    """All rows in disorder, with flags where they were."""
    return shuffled(log) | {name: log[name] for name in ("terminated", "truncated")}


def pieces(length: int):
    def plant(log: Columns) -> Columns:
        order = _draws().permutation(len(log["actions"]) // length)
        return _taken(log, (order[:, None] * length + np.arange(length)).ravel())

    return plant


def reversed_rows(log: Columns) -> Columns:
    return _taken(log, slice(None, None, -1))


def reversed_episodes(log: Columns) -> Columns:
    parts = np.split(np.arange(len(log["actions"])), _starts(log)[1:])
    moved = _taken(log, np.concatenate([part[::-1] for part in parts]))
    return moved | {name: log[name] for name in ("terminated", "truncated")}


def alternating(log: Columns) -> Columns:
    """Two recordings, row by row in turn."""
    half = len(log["actions"]) // 2
    return _taken(log, np.stack([np.arange(half), np.arange(half) + half], axis=1).ravel())


def no_flags(log: Columns) -> Columns:
    none = np.zeros(len(log["actions"]), bool)
    return log | {"terminated": none, "truncated": none}


def flags_moved(by: int):
    def plant(log: Columns) -> Columns:
        moved = {name: np.roll(log[name], by) for name in ("terminated", "truncated")}
        for column in moved.values():
            column[slice(0, by) if by > 0 else slice(by, None)] = False
        return log | moved

    return plant


def flags_lost(share: float):
    def plant(log: Columns) -> Columns:
        at = np.flatnonzero(_ends(log))
        lost = at[_draws().random(len(at)) < share]
        flags = {name: log[name].copy() for name in ("terminated", "truncated")}
        for column in flags.values():
            column[lost] = False
        return log | flags

    return plant


def repeated(log: Columns, counts: np.ndarray) -> Columns:
    """Each row so many times, flags on the last."""
    at = np.repeat(np.arange(len(counts)), counts)
    result, last = _taken(log, at), np.append(at[1:] != at[:-1], True)
    return result | {name: result[name] & last for name in ("terminated", "truncated")}


def every_row(times: int):
    return lambda log: repeated(log, np.full(len(log["actions"]), times))


def some_rows_twice(log: Columns) -> Columns:
    return repeated(log, 1 + (_draws().random(len(log["actions"])) < 0.2))


def frames(length: int):
    """Observations refreshed only at every so many rows."""

    def plant(log: Columns) -> Columns:
        number, starts = np.arange(len(log["actions"])), _starts(log)
        start = starts[np.searchsorted(starts, number, "right") - 1]
        return log | {"observations": log["observations"][start + (number - start) // length * length]}

    return plant


def rolled(name: str, by: int):
    return lambda log: log | {name: np.roll(log[name], by, axis=0)}


def padded(log: Columns) -> Columns:
    """Episodes filled up with zeros to the same length."""
    last, starts = np.flatnonzero(_ends(log)), _starts(log)
    length = int((last - starts + 1).max() * 1.2) + 3
    parts = collections.defaultdict(list)
    for first, end in zip(starts, last, strict=True):
        for name in (name for name in ROWS if name in log):
            column = log[name][first : end + 1]
            filling = np.zeros((length - len(column), *column.shape[1:]), column.dtype)
            parts[name].append(np.concatenate([column, filling]))
    result = log | {name: np.concatenate(columns) for name, columns in parts.items()}
    flags = np.arange(len(result["actions"])) % length == length - 1
    return result | {"terminated": np.zeros_like(flags), "truncated": flags}


def masks(log: Columns) -> Columns:
    """1 where the episode continues."""
    return log | {"terminated": ~_ends(log), "truncated": np.zeros(len(log["actions"]), bool)}


FAULTS: dict[str, Callable[[Columns], Columns]] = {
    "rows shuffled": shuffled,
    "rows shuffled between flags": shuffled_between_flags,
    "pieces of 2 shuffled": pieces(2),
    "pieces of 5 shuffled": pieces(5),
    "pieces of 20 shuffled": pieces(20),
    "rows reversed": reversed_rows,
    "episodes reversed": reversed_episodes,
    "two recordings alternate": alternating,
    "no flags": no_flags,
    "flags a row late": flags_moved(1),
    "flags a row early": flags_moved(-1),
    "flags two rows late": flags_moved(2),
    "half of the flags lost": flags_lost(0.5),
    "every row twice": every_row(2),
    "every row three times": every_row(3),
    "a fifth of the rows twice": some_rows_twice,
    "every other frame missing": frames(2),
    "actions a row late": rolled("actions", 1),
    "actions a row early": rolled("actions", -1),
    "rewards a row late": rolled("rewards", 1),
    "rewards a row early": rolled("rewards", -1),
    "rewards three rows late": rolled("rewards", 3),
    "episodes padded": padded,
    "masks for flags": masks,
}


def alarms(columns: Columns, *, own_successors: bool = False) -> list[str]:
    """The names of errors and warnings."""
    chosen = {name: column for name, column in columns.items() if own_successors or name != "next_observations"}
    chosen["truncated"] = chosen["truncated"].copy()
    chosen["truncated"][-1] |= not chosen["terminated"][-1]
    report = examine(log_of_columns(chosen, "log"))
    return [finding.name for finding in report.findings if finding.severity != "note"]
