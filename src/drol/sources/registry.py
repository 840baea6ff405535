"""What can be trained on, by name: OGBench's tasks, D4RL's, Minari's data sets, and logs of your own."""

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from drol.data.readers.formats import namesake
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, nearest
from drol.extras import MissingExtraError, lazy, quiet, require
from drol.modules import import_named
from drol.sources.contract import Source, Task
from drol.sources.d4rl.source import D4RL
from drol.sources.minari.source import MINARI
from drol.sources.ogbench.source import OGBENCH
from drol.sources.own import OWN

if TYPE_CHECKING:
    import gymnasium
else:
    gymnasium = lazy("gymnasium", "train")

PUBLISHED: tuple[Source, ...] = (MINARI, D4RL, OGBENCH)
SOURCES: tuple[Source, ...] = (*PUBLISHED, OWN)
"""In the order in which they are asked for a name."""

NOWHERE = "none"
"""Names no environment at all."""


def source_of(name: str) -> Source:
    """The source that a name has the form of; a log of your own has any other form."""
    return next((source for source in SOURCES if source.claims(name)), OWN)


def collector_of(data_set: str) -> Source:
    """The source that makes a data set, or says why it does not."""
    return D4RL if D4RL.claims(data_set) else OGBENCH


def parse_task(name: str, *, environment: str | None = None, present: bool = False) -> Task:
    """What `name` means: an OGBench or D4RL task, `minari:DATASET`, or the path of a log.

    Args:
        name: as given on the command line.
        environment: evaluate there instead; see `environment_of`.
        present: whether a log of your own must be there, in a form that is read.

    Raises:
        DataError: if it means nothing; the message names the nearest task, or says what the file is.
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
    """The nearest known task, and what other names there are."""
    known: list[str] = []
    for source in SOURCES:
        with contextlib.suppress(MissingExtraError):
            known += source.tasks()
    near = nearest(name, known, cutoff=0.0)
    file = namesake(name)
    return (
        f"; {'' if file is None else f'there is the file {file}, and '}the nearest known is {near[0]!r}. Data of your "
        f"own are named by their file or folder, Minari's as minari:DATASET"
    )


def environment_of(name: str) -> EnvironmentSpec | None:
    """The environment of a task, or the one gymnasium knows by that name (`module:Id-v0` imports the module first).

    `none` means that there is none.

    Raises:
        DataError: if there is none of that name.
    """
    if name == NOWHERE:
        return None
    if any(source.claims(name) for source in PUBLISHED):
        return parse_task(name).environment
    require("gymnasium", "train")
    module, _, known = name.rpartition(":")
    try:
        with quiet():
            if module:
                import_named(module)
            gymnasium.spec(known)
    except (gymnasium.error.Error, ImportError) as error:
        raise DataError(
            f"there is no environment {name!r} ({error}); expected a task, a gymnasium id such as Pendulum-v1, or "
            f"module:Id-v0, whose module registers it"
        ) from None
    return EnvironmentSpec(name)


def environment(name: str) -> EnvironmentSpec:
    """An environment by name, to evaluate policies in.

    Args:
        name: of an OGBench or D4RL task, `minari:DATASET`, or a gymnasium id; `module:Id-v0` imports the module that
            registers it first.

    Returns:
        Its specification, whose `make` builds it.

    Raises:
        DataError: if there is none of that name.
        MissingExtraError: if a package that it needs is not installed; the message has the install command.
    """
    found = environment_of(name)
    if found is None:
        raise DataError(f"{name!r} names no environment")
    return found
