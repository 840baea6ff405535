"""D4RL's tasks as a table: time limits, widths, reference scores and data URLs. Needs no part of D4RL.

Source: `d4rl.infos` and the environments that d4rl 1.1 registers.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from drol.environments.results import normalised_score
from drol.errors import DataError, nearest

Family = Literal["antmaze", "adroit", "maze2d", "locomotion"]

SHIFTED: Family = "antmaze"
"""The family whose rewards are lowered by 1: -1 and 0 instead of 0 and 1."""

HOST = "http://rail.eecs.berkeley.edu/datasets/offline_rl"


@dataclasses.dataclass(frozen=True)
class D4RLTask:
    """One of D4RL's tasks: an environment with a data set.

    Attributes:
        name: D4RL's id.
        family: determines the preprocessing and what counts as success.
        max_episode_steps: the time limit.
        observation_dim, action_dim: widths of observations and actions.
        url: where the data set was published.
        min_score, max_score: the returns that are scored as 0 and as 100.
    """

    name: str
    family: Family
    max_episode_steps: int
    observation_dim: int
    action_dim: int
    url: str
    min_score: float
    max_score: float

    @property
    def file(self) -> str:
        """The data set's file name, also in D4RL's own folder."""
        return self.url.rpartition("/")[2]

    def normalised_score(self, episode_return: float) -> float:
        """D4RL's normalised score of an undiscounted return: 0 at `min_score`, 100 at `max_score`."""
        return normalised_score(episode_return, self.min_score, self.max_score)


def is_d4rl(name: str) -> bool:
    """Whether `name` is a task in the table."""
    return name in TASKS


def task(name: str) -> D4RLTask:
    """The task of that name.

    Raises:
        DataError: for an unknown name; the message suggests the nearest one.
    """
    if name not in TASKS:
        near = nearest(name, TASKS, cutoff=0.0)
        raise DataError(f"unknown D4RL task {name!r}; the nearest known is {near[0]!r}")
    return TASKS[name]


def _antmaze() -> Iterator[D4RLTask]:
    mazes = {"umaze": "u-maze", "medium": "big-maze", "large": "hardest-maze"}
    kinds = {"umaze": ("", "-diverse"), "medium": ("-play", "-diverse"), "large": ("-play", "-diverse")}
    for maze, long_name in mazes.items():
        for kind in kinds[maze]:
            starts, goals = maze != "umaze" or kind == "-diverse", kind == "-diverse"
            file = f"Ant_maze_{long_name}_noisy_multistart_{starts}_multigoal_{goals}_sparse_fixed.hdf5"
            limit = 700 if maze == "umaze" else 1000
            url = f"{HOST}/ant_maze_v2/{file}"
            yield D4RLTask(f"antmaze-{maze}{kind}-v2", "antmaze", limit, 29, 8, url, 0.0, 1.0)


def _adroit() -> Iterator[D4RLTask]:
    # time limit, observation width, action width, returns scored as 0 and as 100
    hands = {
        "pen": (100, 45, 24, 96.262799, 3076.8331017826877),
        "door": (200, 39, 28, -56.512833, 2880.5693087298737),
        "hammer": (200, 46, 26, -274.856578, 12794.134825156867),
        "relocate": (200, 39, 30, -6.425911, 4233.877797728884),
    }
    for hand, (limit, observation, action, low, high) in hands.items():
        for kind in ("human", "cloned", "expert"):
            name = f"{hand}-{kind}-v1"
            yield D4RLTask(name, "adroit", limit, observation, action, f"{HOST}/hand_dapg_v1/{name}.hdf5", low, high)


def _maze2d() -> Iterator[D4RLTask]:
    # time limit, then the returns scored as 0 and as 100, for sparse and for dense rewards
    mazes = {
        "open": (150, (0.01, 20.66), (11.17817, 27.166538620695782)),
        "umaze": (300, (23.85, 161.86), (68.537689, 193.66285642381482)),
        "medium": (600, (13.13, 277.39), (44.264742, 297.4552547777125)),
        "large": (800, (6.7, 273.99), (30.569041, 303.4857382709002)),
        "eval-umaze": (300, (36.63, 141.4), (56.95455, 178.21373133248397)),
        "eval-medium": (600, (13.07, 204.93), (42.28578, 235.5658957482388)),
        "eval-large": (800, (16.4, 302.22), (56.95455, 326.09647655082637)),
    }
    for maze, (limit, *scores) in mazes.items():
        for kind, (low, high) in zip(("sparse", "dense"), scores, strict=True):
            dense = "-dense" if kind == "dense" else ""
            version, suffix = ("-v0", "") if maze == "open" else ("-v1", "-v1")
            url = f"{HOST}/maze2d/maze2d-{maze}-{kind}{suffix}.hdf5"
            yield D4RLTask(f"maze2d-{maze}{dense}{version}", "maze2d", limit, 4, 2, url, low, high)


def _locomotion() -> Iterator[D4RLTask]:
    # observation width, action width, returns scored as 0 and as 100
    bodies = {
        "halfcheetah": (17, 6, -280.178953, 12135.0),
        "hopper": (11, 3, -20.272305, 3234.3),
        "walker2d": (17, 6, 1.629008, 4592.3),
        "ant": (111, 8, -325.6, 3879.7),
    }
    for body, (observation, action, low, high) in bodies.items():
        for kind in ("random", "medium", "medium-replay", "medium-expert", "expert", "full-replay"):
            url = f"{HOST}/gym_mujoco_v2/{body}_{kind.replace('-', '_')}-v2.hdf5"
            yield D4RLTask(f"{body}-{kind}-v2", "locomotion", 1000, observation, action, url, low, high)


TASKS = {one.name: one for group in (_antmaze(), _adroit(), _maze2d(), _locomotion()) for one in group}
"""All supported tasks by name."""
