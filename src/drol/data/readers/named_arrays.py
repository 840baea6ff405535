"""From named arrays to a log."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from drol.data.checks import NO_IMAGES, NUMBERS, check_flags, check_table, is_images
from drol.data.log import BLOCK, Log, log_of_rows, log_of_tuples
from drol.data.readers.columns import (
    BOUNDS,
    NOTHING,
    STATES,
    TABLES,
    Chosen,
    Columns,
    as_options,
    choose,
    refuse_missing,
)
from drol.data.units import bound_for
from drol.errors import DataError

ENDS_READ = (
    "{name!r} flags the ends of episodes and is read as true ends (terminated), as robomimic's own learners do; "
    "if episodes were merely cut off, name it as truncated, and terminated as none"
)


def log_of_columns(
    arrays: Mapping[str, np.ndarray],
    where: str,
    folder: Path | None = None,
    columns: Columns = NOTHING,
    *,
    episode: bool = False,
) -> Log:
    """A log of named arrays; see `drol.data.files.read`.

    Args:
        arrays: by their names in the file; unused ones may be anything.
        where: the file, for messages.
        folder: if given, tables that are combined from several arrays are written there and memory-mapped.
        columns: the user's names of arrays.
        episode: whether they belong to a single episode.

    Raises:
        DataError: names the array, what was expected and what was found.
    """
    chosen = choose(arrays.keys(), columns, where, episode=episode)
    refuse_missing(chosen, arrays.keys(), where)
    named = {name: _joined(name, parts, arrays, where, folder) for name, parts in chosen.parts.items() if parts}
    for name in ("observations", "actions"):
        check_table(name, named[name], None, where)
    notes = _flag(named, chosen, arrays, where, episode)
    log = log_of_tuples(named, where) if "next_observations" in named else log_of_rows(named, where, episode)
    if len(named.keys() & set(BOUNDS)) == 1:
        raise DataError(f"{where}: 'action_low' and 'action_high' belong together; store both")
    states = {name.removeprefix("infos/"): named[name] for name in STATES if name in named}
    return dataclasses.replace(
        log,
        states={name: array for name, array in states.items() if array.shape[:1] == log.observations.shape[:1]},
        notes=notes,
        **{name: bound_for(log.actions.shape[-1], named[name]) for name in BOUNDS if name in named},
    )


def _joined(
    name: str, parts: Sequence[str], arrays: Mapping[str, np.ndarray], where: str, folder: Path | None
) -> np.ndarray:
    """One array from the stored ones that form it; those of a group are laid side by side."""
    if len(parts) == 1 and (name not in TABLES or "/" not in parts[0]):
        return arrays[parts[0]]
    chosen = {part: arrays[part] for part in parts}
    images = [part for part in parts if is_images(chosen[part])]
    if images:
        _refuse_images(name, images, chosen, where)
    if len({array.shape[:1] for array in chosen.values()} | {()}) != 2:
        raise DataError(f"{where}: the arrays of {name!r} must have the same number of rows")
    return _side_by_side(chosen, None if folder is None else folder / f"{name}.npy")


def _refuse_images(name: str, images: Sequence[str], chosen: Mapping[str, np.ndarray], where: str) -> None:
    """Raise for images among the parts of a table, and say how to leave them out."""
    shape, dtype = chosen[images[0]].shape[1:], chosen[images[0]].dtype
    what = f"{where}: {images[0]!r} holds images, {shape} of {dtype}; {NO_IMAGES}"
    states = [part for part in chosen if part not in images]
    if not states:
        raise DataError(what)
    options = as_options({name: "+".join(states)})
    raise DataError(*(f"{what}. To learn from the other arrays alone: {option}" for option in options))


def _side_by_side(parts: Mapping[str, np.ndarray], target: Path | None) -> np.ndarray:
    """Arrays as one table, in the order given: (rows, all their numbers)."""
    rows = len(next(iter(parts.values())))
    if target is None:
        return _flat(parts, slice(None))
    width = sum(math.prod(array.shape[1:]) for array in parts.values())
    table = np.lib.format.open_memmap(target, "w+", np.result_type(*parts.values()), (rows, width))
    for start in range(0, rows, BLOCK):
        block = slice(start, start + BLOCK)
        table[block] = _flat(parts, block)
    return table


def _flat(parts: Mapping[str, np.ndarray], rows: slice) -> np.ndarray:
    """Some rows of arrays side by side, each array's numbers in C order."""
    chosen = [part[rows] for part in parts.values()]
    return np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in chosen], axis=1)


def _flag(
    named: dict[str, np.ndarray], chosen: Chosen, arrays: Mapping[str, np.ndarray], where: str, episode: bool
) -> tuple[str, ...]:
    """Complete the flags from what the user says, from flags of all ends, and from the last row of an episode.

    Returns:
        Notes on what was assumed.
    """
    count, notes = len(named["actions"]), ()
    if chosen.parts.get("terminated") == ():
        named["terminated"] = np.zeros(count, bool)
    if chosen.ends is not None:
        notes = _flag_by_ends(named, chosen.ends, arrays[chosen.ends], where)
    if episode and count and "truncated" not in named:
        # The last row ends the episode: if this is not a true end, it was cut off there.
        cut = np.zeros(count, bool)
        cut[-1] = not check_flags("terminated", named["terminated"], count, where)[-1]
        named["truncated"] = cut
    return notes


def _flag_by_ends(named: dict[str, np.ndarray], name: str, ends: np.ndarray, where: str) -> tuple[str, ...]:
    """Add the missing kind of ends: those that are not of the other kind. Returns notes on what was assumed."""
    count = len(named["actions"])
    if "terminated" in named:
        # The user did not name this array: it is ignored if it holds anything but flags.
        if ends.shape in ((count,), (count, 1)) and ends.dtype.kind in NUMBERS and ((ends == 0) | (ends == 1)).all():
            terminated = check_flags("terminated", named["terminated"], count, where)
            named["truncated"] = check_flags(name, ends, count, where) & ~terminated
        return ()
    flags = check_flags(name, ends, count, where)
    if "truncated" in named:
        named["terminated"] = flags & ~check_flags("truncated", named["truncated"], count, where)
        return ()
    named["terminated"] = flags
    return (ENDS_READ.format(name=name),)
