"""Reading of Minari data sets, from minari's folder or downloaded by minari."""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from drol.data.checks import NO_IMAGES, check_flags
from drol.data.dataset import Dataset
from drol.data.log import Log
from drol.data.split import hold_out
from drol.data.transitions import to_transitions
from drol.data.units import units_of
from drol.environments.flatten import flatten
from drol.environments.spec import action_bounds
from drol.errors import DataError
from drol.extras import lazy, quiet
from drol.files import sha256
from drol.sources.download import Progress
from drol.sources.minari.folders import clear_errors, folder, open_dataset, shown

if TYPE_CHECKING:
    import minari
    from minari.dataset.episode_data import EpisodeData
else:
    minari = lazy("minari", "minari")

Path = tuple[str | int, ...]
"""The location of an array within an episode, for instance ("observations", "goal", 0)."""


def load(dataset_id: str, *, progress: Progress | None = None) -> Dataset:
    """A data set ready for training: see `read`. One episode in twenty is held out for validation.

    Args:
        dataset_id: for instance `D4RL/pointmaze/umaze-v2`.
        progress: called once with the size when a download is complete (minari shows its own progress meanwhile).

    Raises:
        DataError: see `read`; also for values that cannot be trained on.
        MissingExtraError: if minari is not installed.
    """
    log = read(dataset_id, progress=progress)
    train, held_out = hold_out(log)
    units = units_of(log)
    where = folder(dataset_id)
    files = [
        {"name": file.relative_to(where).as_posix(), "bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(where.rglob("*"))
        if file.is_file()
    ]
    return Dataset(
        train=to_transitions(train, units),
        validation=None if held_out is None else to_transitions(held_out, units),
        source={"kind": "minari", "dataset": dataset_id, "files": files},
        units=units,
    )


def read(dataset_id: str, *, progress: Progress | None = None) -> Log:
    """A data set as it was recorded, including final observations.

    If it is not in minari's folder, minari downloads it there. Observations are flattened by
    `drol.environments.flatten.flatten`, actions in C order.

    Args:
        dataset_id: for instance `D4RL/pointmaze/umaze-v2`.
        progress: see `load`.

    Raises:
        DataError: if it cannot be fetched, is damaged, holds images or text, or its action space is not a box.
        MissingExtraError: if minari is not installed.
    """
    if not folder(dataset_id).exists():
        _fetch(dataset_id, progress)
    dataset = open_dataset(dataset_id)
    where = f"Minari data set {dataset_id!r} ({folder(dataset_id)})"
    actions = dataset.action_space
    if not isinstance(actions, Box):
        raise DataError(f"{where}: the action space must be a Box, found {actions}; no other space is supported")
    leaves = list(_leaves(dataset.observation_space, ("observations",), where))
    with clear_errors(dataset_id):
        tables = _Tables.make(dataset.total_steps, dataset.total_episodes, leaves, actions)
        recorded = iter(dataset.iterate_episodes())
    for number in range(len(tables.lengths)):
        with clear_errors(dataset_id):
            episode = next(recorded)
        tables.add(episode, number, f"{where}, episode {number}")
    if tables.filled != len(tables.actions):
        raise DataError(
            f"{where}: metadata.json states {len(tables.actions)} steps in {len(tables.lengths)} episodes, but these "
            f"hold {tables.filled}; incomplete or damaged? Fetch or create it again"
        )
    return tables.log(where, actions)


def _fetch(dataset_id: str, progress: Progress | None) -> None:
    """Have minari fetch a data set into its folder."""
    where = folder(dataset_id)
    try:
        with quiet(), contextlib.redirect_stdout(sys.stderr):
            minari.download_dataset(dataset_id)
    except Exception as error:  # the hosts' client libraries raise their own types
        raise DataError(
            f"Minari data set {dataset_id!r} is not in {where} and cannot be fetched ({shown(error)}). "
            f"Other ways: run `minari download {dataset_id}` on another machine and copy the data set's folder "
            f"to {where.parent}; or set MINARI_DATASETS_PATH to the folder that holds your data sets."
        ) from None
    if progress is not None:
        size = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
        progress(size, size)


def _leaves(space: gymnasium.Space, path: Path, where: str) -> Iterator[tuple[Path, gymnasium.Space]]:
    """The numeric spaces that make up an observation, each with its path."""
    if isinstance(space, Dict | Tuple):
        parts = space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces)
        for key, part in parts:
            yield from _leaves(part, (*path, key), where)
    elif not isinstance(space, Box | Discrete | MultiBinary | MultiDiscrete):
        raise DataError(f"{where}: {_name(path)} must hold numbers, found {space}; nothing else can be trained on")
    elif space.dtype == np.uint8 and len(_shape(space)) > 1:
        raise DataError(f"{where}: {_name(path)} holds images, {_shape(space)} of uint8; {NO_IMAGES}")
    else:
        yield path, space


@dataclasses.dataclass
class _Tables:
    """Preallocated arrays, filled episode by episode; an episode has one more observation than steps."""

    leaves: list[tuple[Path, gymnasium.Space]]
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    lengths: np.ndarray
    filled: int = 0

    @classmethod
    def make(cls, steps: int, episodes: int, leaves: list[tuple[Path, gymnasium.Space]], actions: Box) -> "_Tables":
        width = sum(math.prod(_shape(leaf)) for _, leaf in leaves)
        kinds = [leaf.dtype for _, leaf in leaves]
        return cls(
            leaves=[*leaves, (("actions",), actions)],
            observations=np.empty((steps + episodes, width), np.result_type(np.float32, *kinds)),
            actions=np.empty((steps, math.prod(actions.shape)), np.result_type(np.float32, actions.dtype)),
            rewards=np.empty(steps),
            terminations=np.empty(steps, bool),
            truncations=np.empty(steps, bool),
            lengths=np.zeros(episodes, int),
        )

    def add(self, episode: "EpisodeData", number: int, where: str) -> None:
        """Check an episode's arrays and copy them after those of the earlier episodes."""
        _check(("rewards",), episode.rewards, (None,), where)
        steps = len(episode.rewards)
        start, stop = self.filled, self.filled + steps
        if stop > len(self.actions):
            raise DataError(
                f"{where}: found {stop} steps so far, but metadata.json states {len(self.actions)} in total; damaged? "
                f"Fetch or create it again"
            )
        for path, leaf in self.leaves:
            rows = steps if path[0] == "actions" else steps + 1
            _check(path, _part(episode, path, where), (rows, *_shape(leaf)), where)
        with np.errstate(over="ignore"):  # later checks of the values find infinities
            self.observations[start + number : stop + number + 1] = flatten(episode.observations, steps + 1)
            self.actions[start:stop] = flatten(episode.actions, steps)
            self.rewards[start:stop] = episode.rewards
        self.terminations[start:stop] = check_flags("terminations", np.asarray(episode.terminations), steps, where)
        self.truncations[start:stop] = check_flags("truncations", np.asarray(episode.truncations), steps, where)
        self.lengths[number], self.filled = steps, stop

    def log(self, where: str, actions: Box) -> Log:
        """The filled arrays as a log."""
        number = np.arange(self.filled)
        ends = self.terminations | self.truncations
        ends[np.cumsum(self.lengths)[self.lengths > 0] - 1] = True
        index = number + np.repeat(np.arange(len(self.lengths)), self.lengths)
        low, high = action_bounds(actions) or (None, None)
        return Log(
            where=where,
            observations=self.observations,
            actions=self.actions,
            rewards=self.rewards,
            terminated=self.terminations,
            truncated=self.truncations,
            ends=ends,
            index=index,
            next_index=index + 1,
            rows=number,
            action_low=low,
            action_high=high,
        )


def _part(episode: "EpisodeData", path: Path, where: str) -> Any:
    """The value at a path within an episode."""
    value = getattr(episode, str(path[0]))
    for depth, key in enumerate(path[1:], start=2):
        parts: Any = dict(enumerate(value)) if isinstance(value, tuple) else value
        if not isinstance(parts, dict) or key not in parts:
            raise DataError(f"{where}: {_name(path[:depth])} is missing, but the data set's spaces name it; damaged?")
        value = parts[key]
    return value


def _check(path: Path, value: Any, shape: tuple[int | None, ...], where: str) -> None:
    """Refuse anything but a numeric array of the given shape."""
    found = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    fits = isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and len(value.shape) == len(shape)
    if not fits or any(n is not None and n != m for n, m in zip(shape, value.shape, strict=True)):
        expected = "(" + ", ".join("steps" if n is None else str(n) for n in shape) + ")"
        raise DataError(f"{where}: {_name(path)} must be numbers of shape {expected}, found {found}; damaged?")


def _shape(space: gymnasium.Space) -> tuple[int, ...]:
    return space.shape or ()


def _name(path: Path) -> str:
    return repr("/".join(map(str, path)))
