"""The steps of an online run on disk: sealed segments that only ever grow in number."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drol.data.growing import Steps, joined
from drol.data.readers.npz import read_npz
from drol.errors import DataError, both
from drol.files import write_atomic
from drol.online.explorer import Standing

SEGMENT = re.compile(r"steps-(\d{10})-(\d{10})\.npz")

STANDING = "standing_"
PLANS = "plans_"


class StepLog:
    """The folder of an online run's steps.

    A segment holds the steps between two checkpoints, and where the environments stood at its end. It is written whole
    before the checkpoint is sealed, so that every checkpoint finds the steps that led to it; segments beyond the
    newest checkpoint are dropped.

    Args:
        folder: made with the first segment.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._parts: list[Steps] = []
        self._sealed = 0

    @property
    def count(self) -> int:
        """How many steps there are."""
        return self._sealed + sum(part.rows for part in self._parts)

    def append(self, steps: Steps) -> None:
        """Add steps, which are written at the next `seal`."""
        self._parts.append(steps)

    def drop(self, count: int) -> None:
        """Forget the newest steps, which have not been written yet, until `count` are left."""
        while self._parts and self.count > count:
            self._parts.pop()
        assert self.count == count

    def seal(self, standing: Standing) -> None:
        """Write the steps since the last segment; nothing if there are none.

        Raises:
            OSError: with a clear message; earlier segments are kept.
        """
        if not self._parts:
            return
        steps, end = joined(self._parts), self.count
        arrays = _of_steps(steps, len(standing.episodes)) | _of_standing(standing)
        path = self._folder / f"steps-{self._sealed:010d}-{end:010d}.npz"
        write_atomic(path, lambda file: _write(file, arrays))
        self._parts, self._sealed = [], end

    def restore(self, count: int) -> tuple[list[Steps], Standing | None]:
        """Read the first `count` steps, and where the environments stood after them; later segments are removed.

        Raises:
            DataError: if a segment is missing or damaged.
        """
        parts: list[Steps] = []
        standing, found = None, 0
        for begin, end, path in self._segments():
            if end > count:
                path.unlink()
                continue
            if begin != found:
                break
            steps, standing = _read(path, end - begin)
            parts.append(steps)
            found = end
        if found != count:
            raise DataError(
                *both(
                    f"{self._folder} holds the run's first {found} steps, but its checkpoint was made after {count}; "
                    f"restore the folder from a backup, or start the run again in another one"
                )
            )
        self._parts, self._sealed = [], count
        return parts, standing

    def _segments(self) -> list[tuple[int, int, Path]]:
        """Begin, end and path of each segment, in order."""
        if not self._folder.is_dir():
            return []
        matches = [(SEGMENT.fullmatch(path.name), path) for path in self._folder.iterdir()]
        return sorted((int(match[1]), int(match[2]), path) for match, path in matches if match)


def _write(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    np.savez(file, **arrays)


def _of_steps(steps: Steps, slots: int) -> dict[str, np.ndarray]:
    """Steps as arrays; most observations are those after the environment's last step, and are stored once."""
    return steps._asdict() | {"observations": steps.observations[_stored(steps.began, slots)]}


def _stored(began: np.ndarray, slots: int) -> np.ndarray:
    """The rows whose observation is no earlier row's next one."""
    return began | (np.arange(len(began)) < slots)


def _of_standing(standing: Standing) -> dict[str, np.ndarray]:
    arrays = {f"{STANDING}{name}": np.asarray(value) for name, value in standing._asdict().items() if name != "plans"}
    return arrays | {f"{STANDING}{PLANS}{name}": value for name, value in standing.plans.items()}


def _read(path: Path, rows: int) -> tuple[Steps, Standing]:
    """A segment.

    Raises:
        DataError: if it is damaged.
    """
    arrays = read_npz(path)
    try:
        stored = {name: arrays[name] for name in Steps._fields}
        held: dict[str, Any] = {name: arrays[f"{STANDING}{name}"] for name in Standing._fields if name != "plans"}
        start = f"{STANDING}{PLANS}"
        plans = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
        slots = len(held["episodes"])
        if {len(array) for name, array in stored.items() if name != "observations"} != {rows}:
            raise ValueError("its arrays have other lengths than its name says")
        stored["observations"] = _before(stored, slots)
        held["begun"] = int(held["begun"])
        standing = Standing(plans=plans, **held)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); restore it from a backup, or start the run again") from None
    return Steps(**stored), standing


def _before(stored: dict[str, np.ndarray], slots: int) -> np.ndarray:
    """What was observed before each step."""
    own, following = _stored(stored["began"], slots), stored["next_observations"]
    before = np.concatenate([following[:slots], following[:-slots]])
    before[own] = stored["observations"]
    return before
