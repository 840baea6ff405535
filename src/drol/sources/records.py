"""Environments named in files. A file is only data: nothing is imported or called just because it names it."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drol.data.readers.formats import looks_like_a_path
from drol.environments.spec import GYMNASIUM, EnvironmentSpec
from drol.errors import DataError
from drol.extras import lazy, require
from drol.sources.d4rl import source as d4rl
from drol.sources.minari import source as minari
from drol.sources.ogbench import online
from drol.sources.ogbench.source import OGBENCH
from drol.sources.registry import PUBLISHED, parse_task

if TYPE_CHECKING:
    import gymnasium
else:
    gymnasium = lazy("gymnasium", "train")

FACTORIES = {
    "gymnasium": GYMNASIUM,
    d4rl.KIND: d4rl.FACTORY,
    minari.KIND: minari.FACTORY,
    online.KIND: online.FACTORY,
}
"""Record kind -> factory. Factories are fixed here, never read from a file."""

Json = bool | int | float | str | list[Any] | dict[str, Any] | None
"""Any JSON value: what a file may hold where a record or a name is expected."""


def environment_of_record(record: Json) -> EnvironmentSpec:
    """The environment described by the output of `EnvironmentSpec.as_record`.

    Raises:
        DataError: if the record does not have that form.
    """
    fields = record if isinstance(record, dict) else {}
    name, kind, options = fields.get("id"), fields.get("kind"), fields.get("options")
    if (
        isinstance(name, str)
        and isinstance(kind, str)
        and kind in FACTORIES
        and isinstance(options, list)
        and all(isinstance(option, list) and len(option) == 2 and isinstance(option[0], str) for option in options)
    ):
        return EnvironmentSpec(name, tuple((option, value) for option, value in options), kind, FACTORIES[kind])
    raise DataError(
        f"expected an 'id', a 'kind' (one of {', '.join(FACTORIES)}) and named 'options', found "
        f"{textwrap.shorten(repr(record), 200)}"
    )


def environment_in_file(record: Json, where: str) -> EnvironmentSpec:
    """The environment of a record in a file, if it can be made without importing or calling anything the file chose.

    This holds for the environments of OGBench, D4RL and Minari, which this library knows by name, and for those already
    registered with gymnasium. The user must name any other environment explicitly.

    Args:
        record: the output of `EnvironmentSpec.as_record`, which may have been edited by hand.
        where: the file or run that the record came from, for error messages.

    Raises:
        DataError: if the record is malformed or names any other environment; the message says what to add to the
            command.
    """
    try:
        spec = environment_of_record(record)
    except DataError as error:
        raise DataError(f"{where} names no environment ({error}); is it damaged? Name one with --env") from None
    if spec.options:
        names = ", ".join(name for name, _ in spec.options[:12])
        raise DataError(
            f"{where} names the environment {spec.id!r} with options ({names}), which are never read from a file; "
            f"name the environment yourself with --env {spec.id}, which makes it without these options"
        )
    if not _is_known(spec):
        if spec.factory == minari.FACTORY:
            raise DataError(f"{where} names the environment of {spec.id!r}, which is not the name of a Minari data set")
        raise DataError(
            f"{where} names the environment {spec.id!r}, but a module is not imported just because a file names it; if "
            f"you trust it, name it yourself: add --env {spec.id if ':' in spec.id else f'MODULE:{spec.id}'}"
        )
    return spec


def _is_known(spec: EnvironmentSpec) -> bool:
    if any(source.makes(spec) for source in PUBLISHED):
        return True
    if spec.factory != GYMNASIUM:
        return False
    require("gymnasium", "train")
    return spec.id in gymnasium.registry


def environment_of_task(name: Json, where: str) -> EnvironmentSpec | None:
    """The environment of a task named in a file; None for the user's own log, which has no environment.

    Raises:
        DataError: if making the environment would import something that only the file names; see
            `environment_in_file`.
    """
    if not isinstance(name, str):
        return None
    if any(source.claims(name) for source in PUBLISHED):
        spec = parse_task(name).environment
    else:
        spec = None if looks_like_a_path(name) else EnvironmentSpec(name)
    return spec and environment_in_file(spec.as_record(), where)


def is_module(record: Mapping[str, Any] | None) -> bool:
    """Whether a record (see `EnvironmentSpec.as_record`) names one of the user's own modules."""
    return record is not None and ":" in record["id"] and not OGBENCH.makes(EnvironmentSpec(record["id"]))
