"""What can be trained on, by name: tasks of OGBench and D4RL, Minari's data sets, and your own logs."""

import contextlib
import dataclasses

from drol.data.readers.formats import namesake
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, nearest
from drol.extras import MissingExtraError
from drol.sources.bare import BARE, registered
from drol.sources.contract import Source, Task
from drol.sources.d4rl.source import D4RL
from drol.sources.minari.source import MINARI
from drol.sources.ogbench.online import OGBENCH_ONLINE
from drol.sources.ogbench.source import OGBENCH
from drol.sources.own import OWN

PUBLISHED: tuple[Source, ...] = (MINARI, D4RL, OGBENCH, OGBENCH_ONLINE)
SOURCES: tuple[Source, ...] = (*PUBLISHED, BARE, OWN)
"""In the order in which they are tried for a name."""

NOWHERE = "none"
"""The name that stands for no environment."""


def source_of(name: str) -> Source:
    """The source whose names have the form of `name`; any other name is taken for one of your own logs."""
    return next((source for source in SOURCES if source.claims(name)), OWN)


def collector_of(data_set: str) -> Source:
    """The source that collects a data set, or reports why it cannot."""
    return D4RL if D4RL.claims(data_set) else OGBENCH


def parse_task(name: str, *, environment: str | None = None, present: bool = False) -> Task:
    """The task that `name` refers to: an OGBench or D4RL task, `minari:DATASET`, or the path of a log.

    Args:
        name: as given on the command line.
        environment: where to evaluate instead; see `environment_of`.
        present: whether to require that your own log exists in a supported format.

    Raises:
        DataError: if the name is unknown or the file cannot be used; the message suggests the nearest task, or says
            what the file is.
    """
    source = next((source for source in SOURCES if source.knows(name)), None)
    if source is None:
        raise DataError(f"unknown task {name!r}{_nearest(name)}")
    full = source.full_name(name)
    task = Task(full, source.label(full), source, source.environment(full))
    if present:
        source.check_readable(full)
    return task if environment is None else dataclasses.replace(task, environment=environment_of(environment))


def _nearest(name: str) -> str:
    """A hint with the nearest known task and the other kinds of names."""
    known: list[str] = []
    for source in SOURCES:
        with contextlib.suppress(MissingExtraError):
            known += source.tasks()
    near = nearest(name, known, cutoff=0.0)
    file = namesake(name)
    return (
        f"; {'' if file is None else f'there is a file {file}, and '}the nearest known is {near[0]!r}. Refer to your "
        f"own data by their file or folder, and to Minari's as minari:DATASET"
    )


def environment_of(name: str) -> EnvironmentSpec | None:
    """The environment of a task, or the one gymnasium knows by that name (`module:Id-v0` imports the module first).

    Returns None for the name `none`.

    Raises:
        DataError: if there is no environment of that name.
    """
    if name == NOWHERE:
        return None
    if any(source.claims(name) for source in PUBLISHED):
        return parse_task(name).environment
    return registered(name)


def environment(name: str) -> EnvironmentSpec:
    """An environment by name, for evaluating policies.

    Args:
        name: an OGBench or D4RL task, `minari:DATASET`, or a gymnasium id; `module:Id-v0` first imports the module that
            registers it.

    Returns:
        Its specification, whose `make` builds the environment.

    Raises:
        DataError: if there is no environment of that name.
        MissingExtraError: if a package that it needs is not installed; the message gives the install command.
    """
    found = environment_of(name)
    if found is None:
        raise DataError(f"{name!r} names no environment")
    return found
