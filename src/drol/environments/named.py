"""Environments that a file names: a file is data, and nothing is imported or called because one says so."""

import re
from collections.abc import Mapping
from typing import Any

from drol.environments import d4rl_tasks
from drol.environments.spec import EnvironmentSpec
from drol.extras import require
from drol.files import DataError

OGBENCH = re.compile(r"ogbench:[\w.-]+")
MINARI = re.compile(r"[\w-]([\w/-]*[\w-])?-v\d+")


def from_file(record: Any, where: str) -> EnvironmentSpec:
    """The environment of a record that a file holds, if making it imports and calls nothing of the file's choosing.

    So are the environments of OGBench, D4RL and Minari, which this library knows by name, and those that are registered
    with gymnasium already. Others the user must name.

    Args:
        record: what `EnvironmentSpec.as_record` gave, or whatever an editor made of it.
        where: the file or run it came from, for messages.

    Raises:
        DataError: if it is no such record, or names anything else; the message says what to add to the command.
    """
    try:
        spec = EnvironmentSpec.from_record(record)
    except DataError as error:
        raise DataError(f"{where} names no environment ({error}); is it damaged? Name one with --env") from None
    if spec.options:
        names = ", ".join(name for name, _ in spec.options[:12])
        raise DataError(
            f"{where} names the environment {spec.id!r} with options ({names}), which are not taken from a file; "
            f"name it yourself with --env {spec.id}, which makes it without them"
        )
    if spec.kind == "minari" and MINARI.fullmatch(spec.id) is None:
        raise DataError(f"{where} names the environment of {spec.id!r}, which is not the name of a Minari data set")
    if not _is_known(spec):
        raise DataError(
            f"{where} names the environment {spec.id!r}, and a module is not imported because a file says so; if you "
            f"trust it, name it yourself: add --env {spec.id if ':' in spec.id else f'MODULE:{spec.id}'}"
        )
    return spec


def _is_known(spec: EnvironmentSpec) -> bool:
    match spec.kind:
        case "d4rl":
            return d4rl_tasks.is_d4rl(spec.id)
        case "minari":
            return True  # a data set's name; what its environment is made of, `minari.make` decides
        case _:
            require("gymnasium", "train")
            import gymnasium

            return OGBENCH.fullmatch(spec.id) is not None or spec.id in gymnasium.registry


def is_module(record: Mapping[str, Any] | None) -> bool:
    """Whether a record of `EnvironmentSpec.as_record` names a module of the user's own."""
    return record is not None and ":" in record["id"] and OGBENCH.fullmatch(record["id"]) is None
