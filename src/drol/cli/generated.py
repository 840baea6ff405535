"""Command-line options generated from the declarations of a run's configuration and an algorithm."""

import argparse
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from drol.algorithm import Algorithm
from drol.cli.numbers import count, number, seconds, seed, sha256_of
from drol.cli.options import columns
from drol.experiment.config import OPTIONS, RunConfig
from drol.experiment.names import is_plain
from drol.experiment.online import ONLINE_OPTIONS, OnlineConfig
from drol.experiment.options import Option, option_name
from drol.experiment.resume import Held

GROUPS = {
    "data": "By default, the folder in which ogbench, d4rl or minari keeps its data is searched; if nothing is there, "
    "the official download is tried.",
    "devices": "Runs that share a program are spread over the available devices.",
}
"""The text below a heading."""


def add_options(
    parser: argparse.ArgumentParser, *, leave_out: Collection[str] = (), further: type[OnlineConfig] | None = None
) -> dict[str, argparse._ActionsContainer]:
    """Add the options that a run's configuration declares; those not given are absent from the parsed result.

    Args:
        parser: of the command.
        leave_out: names of options that it does not have.
        further: another configuration, whose options come first.

    Returns:
        The groups by heading.
    """
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for cls, options in ((further, ONLINE_OPTIONS), (RunConfig, OPTIONS)):
        for field in () if cls is None else dataclasses.fields(cls):
            if (option := options.get(field.name)) is not None and (cls is further or field.name not in leave_out):
                _add_option(parser, groups, field, option)
    return groups


def _add_option(
    parser: argparse.ArgumentParser,
    groups: dict[str, argparse._ActionsContainer],
    field: dataclasses.Field,
    option: Option,
) -> None:
    if option.group not in groups:
        groups[option.group] = parser.add_argument_group(option.group, GROUPS.get(option.group))
    is_positional = field.name == "task"
    groups[option.group].add_argument(
        field.name if is_positional else option_name(field.name),
        help=_with_default(option.help, option.shown or _shown(field.default)),
        **({} if is_positional else {"default": argparse.SUPPRESS}),
        **keywords(option),
    )


def given_options(parsed: argparse.Namespace) -> dict[str, Held]:
    """The options of a run that were given, by name, and the given hyperparameters by name in `hyperparameters`."""
    known = {**OPTIONS, **ONLINE_OPTIONS}
    given: dict[str, Held] = {name: value for name, value in vars(parsed).items() if name in known}
    hyperparameters = given_hyperparameters(parsed)
    return given | ({"hyperparameters": hyperparameters} if hyperparameters else {})


def _shown(default: object) -> str:
    if default is None or default is False or default == "":
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _with_default(help: str, default: str) -> str:
    """A help text that ends with the default, on a separate line if the last one would be too long."""
    if not default:
        return help
    last = help.rpartition("\n")[2]
    return f"{help}{chr(10) if len(last) + len(default) > 70 else ' '}(default: {default})"


def keywords(option: Option) -> dict[str, Any]:
    """argparse's keywords for an option of a run."""
    if option.type == "flag":
        return {"action": "store_true"}
    if option.type == "switch":
        return {"action": argparse.BooleanOptionalAction}
    named = {} if option.metavar is None else {"metavar": option.metavar}
    if option.choices is not None:
        return {"choices": option.choices}
    if option.type == "count":
        return {"type": count(option.low), **named}
    if option.type == "number":
        return {"type": number(low=0), **named}
    if option.type == "bounds":
        return {"type": number(), "nargs": "+", **named}
    readers = {"path": Path, "seed": seed, "seconds": seconds, "columns": columns, "sha256": sha256_of}
    return {"type": readers.get(option.type, str), **named}


def add_hyperparameters(parser: argparse.ArgumentParser, cls: type[Algorithm]) -> None:
    """Add one option per field of the algorithm; a field without one (a custom optimizer) is for Python only."""
    group = parser.add_argument_group(
        f"hyperparameters of {cls.__name__}",
        "Defaults come from the task's preset, then from the size, then from those listed here.",
    )
    for field in dataclasses.fields(cls):
        if not is_plain(field):
            continue
        kind, shape = _kind(field)
        default = field.metadata["default"]
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        group.add_argument(
            option_name(field.name),
            dest=f"hyperparameter_{field.name}",
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} (default: {shown})",
            **kind,
            **shape,
        )


def given_hyperparameters(parsed: argparse.Namespace) -> dict[str, Any]:
    """The hyperparameters given on the command line, by field name."""
    prefix = "hyperparameter_"
    values = {n.removeprefix(prefix): v for n, v in vars(parsed).items() if n.startswith(prefix)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _kind(field: dataclasses.Field) -> tuple[dict[str, Any], dict[str, Any]]:
    """argparse's keywords for a field's type."""
    default, choices = field.metadata["default"], field.metadata.get("choices")
    bounds = {name: bound for name in ("low", "high") if (bound := field.metadata.get(name)) is not None}
    if choices is not None:
        return {"choices": choices}, {}
    if isinstance(default, bool):
        return {"action": argparse.BooleanOptionalAction}, {}
    if isinstance(default, tuple):
        return {"type": count(**bounds), "nargs": "+"}, {"metavar": "N"}
    if isinstance(default, int):
        return {"type": count(**bounds)}, {"metavar": "N"}
    return {"type": number(**bounds)}, {"metavar": "X"}
