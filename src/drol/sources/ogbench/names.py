"""The names of OGBench's single tasks."""

import dataclasses
import functools
import importlib
import re
from typing import TYPE_CHECKING

from drol.errors import DataError, nearest
from drol.extras import lazy, quiet, require

if TYPE_CHECKING:
    import gymnasium
else:
    gymnasium = lazy("gymnasium", "ogbench")


@dataclasses.dataclass(frozen=True)
class OGBenchTask:
    """A single-task name such as `cube-single-play-singletask-task2-v0` and its parts."""

    name: str
    env_id: str
    dataset: str


@functools.cache
def known_tasks() -> tuple[str, ...]:
    """All state-based single-task names that OGBench knows, including its aliases for default tasks."""
    require("ogbench", "ogbench")
    with quiet():
        importlib.import_module("ogbench")  # registers the environments
    kinds = {"pointmaze": "navigate stitch", "antmaze": "navigate stitch explore", "humanoidmaze": "navigate stitch"}
    kinds |= {"antsoccer": "navigate stitch", "cube": "play noisy", "scene": "play noisy", "puzzle": "play noisy"}
    names = []
    for env_id in gymnasium.registry:
        match = re.fullmatch(r"((\w+?)(?:-[\w]+)*?)-singletask(-task\d)?-v0", env_id)
        if match and match[2] in kinds:
            names += [f"{match[1]}-{kind}-singletask{match[3] or ''}-v0" for kind in kinds[match[2]].split()]
    return tuple(names)


def parse_task(name: str) -> OGBenchTask:
    """Split a task's name into its parts.

    Raises:
        DataError: for an unknown name; the message suggests the nearest one.
    """
    tasks = known_tasks()
    if name not in tasks:
        near = nearest(name, tasks, cutoff=0.0)
        raise DataError(f"unknown task {name!r}; the nearest known is {near[0]!r}")
    start, end = name.split("-singletask")
    env, kind = start.rsplit("-", 1)
    return OGBenchTask(name, f"{env}-singletask{end}", f"{env}-{kind}-v0")
