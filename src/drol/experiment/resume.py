"""What a resumed run may change, and how it is compared with the stored run."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drol.algorithm import Algorithm
from drol.algorithm import hyperparameters as values_of
from drol.algorithms.registry import registered_name
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, both
from drol.experiment.options import Given
from drol.extras import lazy
from drol.files import JsonValue

if TYPE_CHECKING:
    from drol import sources
    from drol.experiment.config import Hyperparameter, Hyperparameters, RunConfig
else:
    sources = lazy("drol.sources")  # a tenth of what `drol train --help` would import

Held = Given | EnvironmentSpec | Algorithm
"""What a configuration may hold."""

Changes = Mapping[str, Held]
"""The options that were given, by name."""


def canonical(by: Changes, stored: "RunConfig") -> "tuple[RunConfig, dict[str, Held]]":
    """The given options in the form in which a resolved run holds them.

    Returns:
        The stored run, with the new path of the user's own log if that was moved, and the given options.
    """
    given = dict(by)
    if "task" in given:
        task = sources.parse_task(str(given["task"]), present=True)
        given["task"] = task.name
        if task.source.named_by_path and sources.parse_task(stored.task).source is task.source:
            # It may have been moved: only its content matters, which is compared when it is loaded.
            stored = dataclasses.replace(stored, task=task.name)
    if isinstance(algorithm := given.get("algorithm"), Algorithm):
        given["hyperparameters"] = values_of(algorithm)
        given["algorithm"] = registered_name(type(algorithm))
        if given["algorithm"] == stored.algorithm:
            # It may hold what no file can store: a custom optimizer.
            stored = dataclasses.replace(stored, algorithm=algorithm)
    if "evaluated_in" not in given and given.get("env") is not None:
        given["evaluated_in"] = sources.environment_of(str(given["env"]))
    return stored, given


def hyperparameters_in(by: Changes, stored: "RunConfig") -> "dict[str, tuple[Held, Held]]":
    """The hyperparameters that are given: the stored value of each, and the given one.

    Raises:
        DataError: for one that the run's algorithm does not have.
    """
    values = by.get("hyperparameters") or {}
    assert isinstance(values, Mapping)
    held: Mapping[str, Any] = stored.hyperparameters
    if not values.keys() <= held.keys():
        # Runs of earlier versions lack what was added since.
        held = {**with_tuples(values_of(stored.build())), **held}
    for name in values:
        if name not in held:
            raise DataError(f"the run uses {stored.algorithm_name}, which has no {name}: leave it out")
    return {name: (held[name], value) for name, value in values.items()}


def refuse_change(name: str, before: Held, now: Held) -> None:
    """Raise if something fixed is given another value.

    Raises:
        DataError: naming both.
    """
    if not _alike(now, before):
        raise DataError(
            *both(
                f"the run was started with {name} {_shown(before)}, and --resume cannot change it to {_shown(now)}; "
                f"leave the option out, or start a new run with another --out"
            )
        )


def _alike(given: Held, stored: Held) -> bool:
    """Whether two values are the same; hyperparameters are kept in float32."""
    if isinstance(given, float) and isinstance(stored, int | float):
        return given == stored or abs(given - stored) <= 1e-6 * abs(given)
    if isinstance(given, list | tuple) and isinstance(stored, list | tuple):
        return tuple(given) == tuple(stored)
    return given == stored


def check_longer(stored: "RunConfig", now: Held) -> None:
    """Refuse a number of updates to which a run cannot be extended.

    Raises:
        DataError: naming the nearest possible numbers.
    """
    settings = stored.settings()
    before, length = settings.updates, settings.updates_per_call
    assert isinstance(now, int)
    if now < before:
        raise DataError(
            *both(
                f"the run was started with {before} updates, and --resume can only extend it, not shorten it to {now}"
            )
        )
    if now % length:
        below = now // length * length
        raise DataError(
            *both(
                f"the run is trained in calls of {length} updates, so --updates must be a multiple of {length}, found "
                f"{now}; the nearest are {below} and {below + length}"
            )
        )


def _shown(value: Held) -> str:
    if isinstance(value, EnvironmentSpec):
        return value.id
    return repr(list(value) if isinstance(value, tuple) else value)


def refuse_unnamed(config: "RunConfig", where: str, named: Changes) -> None:
    """Refuse to import a module that a run's configuration names and the user does not.

    Raises:
        DataError: saying what to add to the command.
    """
    if ":" in config.algorithm_name and named.get("algorithm") is None:
        raise DataError(
            *both(
                f"the run uses the algorithm {config.algorithm_name!r}, but a module is not imported just because a "
                f"file names it; if you trust it, name it yourself: add --algorithm {config.algorithm_name}"
            )
        )
    environment = named.get("env")
    is_named = named.get("evaluated_in") == config.evaluated_in or environment not in (None, sources.NOWHERE)
    if not is_named and config.evaluated_in is not None:
        sources.environment_in_file(config.evaluated_in.as_record(), "the run's configuration")


def environment_in(record: Mapping[str, Any]) -> EnvironmentSpec | None:
    """Where a run is evaluated; runs of earlier versions leave that to their task."""
    if "evaluated_in" not in record:
        return sources.parse_task(str(record["task"])).environment
    stored = record["evaluated_in"]
    return None if stored is None else sources.environment_of_record(stored)  # pyright: ignore[reportArgumentType]  (it checks)


def checked_preset(value: JsonValue) -> Mapping[str, str | bool] | None:
    """Where hyperparameters came from.

    Raises:
        TypeError: if it is not an object of words.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(entry, str | bool) for entry in value.values()):
        raise TypeError(f"'preset' should be null or an object of words, found {value!r:.100}")
    return value


def hyperparameters_of(record: Mapping[str, Any]) -> "Hyperparameters":
    """A run's hyperparameters as plain values, lists as tuples.

    Raises:
        TypeError: if there are none.
    """
    values = record["hyperparameters"]
    if not isinstance(values, Mapping):
        raise TypeError(f"'hyperparameters' should be an object, found {values!r:.100}")
    return with_tuples(values)


def with_tuples(values: "Mapping[str, Hyperparameter | list[int]]") -> "Hyperparameters":
    """Hyperparameters with tuples in place of JSON's lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
