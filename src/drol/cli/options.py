"""Command-line options made from an algorithm's typed fields, and helpers that commands share."""

import argparse
import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from drol.algorithm import Algorithm
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.cli.numbers import count, number
from drol.cli.parser import UsageError, nearest
from drol.data.columns import parse_columns
from drol.evaluation.limits import DEFAULT, UNLIMITED_STEPS, EvaluationLimits
from drol.files import DataError, listed
from drol.presets import FIELDS


def add_hyperparameters(parser: argparse.ArgumentParser, cls: type[Algorithm]) -> None:
    """One option per field of the algorithm; a field without one (a custom optimizer) is for Python only."""
    group = parser.add_argument_group(
        f"hyperparameters of {cls.__name__}",
        "Defaults come from the task's preset, then from the size, then from here.",
    )
    for field in dataclasses.fields(cls):
        kind, shape = _kind(field)
        if kind is None:
            continue
        default = field.metadata["default"]
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"hyperparameter_{field.name}",
            help=f"{field.metadata['help']} (default: {shown})",
            **kind,
            **shape,
        )


def not_of(cls: type[Algorithm], option: str) -> str | None:
    """What to say of a hyperparameter that an algorithm has not: who has it, and what comes nearest.

    Args:
        cls: the algorithm that was chosen.
        option: as it was given, `--bc-coef` or `bc_coef`.

    Returns:
        None for what is no hyperparameter of any.
    """
    name = option.lstrip("-").removeprefix("no-").replace("-", "_")
    owners = [owner for owner in ALGORITHMS if name in _named(algorithm_class(owner))]
    if not owners:
        return None
    own = _named(cls)
    near = list(dict.fromkeys([*FIELDS.get(cls.name, ()), *nearest(name, own, most=3)]))[:3] or own[:3]
    options = listed(f"--{field.replace('_', '-')}" for field in near)
    return (
        f"{cls.name} has no {name}, which belongs to {listed(owners)} (choose with --algorithm); the nearest that "
        f"{cls.name} has: {options}"
    )


def _named(cls: type[Algorithm]) -> list[str]:
    """The hyperparameters that have an option."""
    return [field.name for field in dataclasses.fields(cls) if _kind(field)[0] is not None]


def given_hyperparameters(parsed: argparse.Namespace) -> dict[str, Any]:
    """The hyperparameters given on the command line, by field name."""
    prefix = "hyperparameter_"
    values = {n.removeprefix(prefix): v for n, v in vars(parsed).items() if n.startswith(prefix) and v is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def add_bounds(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The options that state the bounds of a log's actions."""
    for name, bound in (("--action-low", "lower"), ("--action-high", "upper")):
        parser.add_argument(
            name,
            type=number(),
            nargs="+",
            metavar="X",
            help=f"{bound} bound of the log's actions, one number or one per dimension\n(default: as the log states, "
            "else the environment's, else -1 and 1)",
        )


def add_columns(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The option that names the arrays of a log."""
    parser.add_argument(
        "--columns",
        type=_columns,
        metavar="NAME=COLUMN,...",
        help="names of the log's arrays, where they are not these: observations=obs,actions=acts,...\n(also group/obs; "
        "a+b: side by side; terminated=none: there are no true ends)",
    )


def _columns(text: str) -> dict[str, str | None]:
    try:
        return parse_columns(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def bounds_of(low: list[float] | None, high: list[float] | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds as arrays, as far as they were given.

    Raises:
        UsageError: if one of the two is missing.
    """
    if (low is None) != (high is None):
        raise UsageError("--action-low and --action-high belong together: give both")
    return None if low is None or high is None else (np.array(low, np.float64), np.array(high, np.float64))


def add_limits(parser: argparse.ArgumentParser | argparse._ArgumentGroup, prefix: str = "") -> None:
    """The options that bound an evaluation; their names begin with `prefix`, but for `--step-seconds`."""
    parser.add_argument(
        f"--{prefix}max-steps",
        dest="max_steps",
        type=count(),
        metavar="N",
        help=f"cut an episode after N steps\n(default: the environment's own limit, else {UNLIMITED_STEPS:,})",
    )
    parser.add_argument(
        f"--{prefix}max-seconds",
        dest="max_seconds",
        type=_seconds,
        metavar="S",
        help=f"end an evaluation after S seconds and mark it as incomplete;\ninf: never (default: {DEFAULT.seconds:g})",
    )
    parser.add_argument(
        "--step-seconds",
        type=_seconds,
        metavar="S",
        help=f"give an environment up that takes longer for a step or a reset\n(default: {DEFAULT.step_seconds:g})",
    )


def limits_of(parsed: argparse.Namespace, stored: Mapping[str, Any] | None = None) -> EvaluationLimits:
    """The limits that were given, else those of a run's configuration, else the defaults."""
    given = {"steps": parsed.max_steps, "seconds": parsed.max_seconds, "step_seconds": parsed.step_seconds}
    limits = dict(stored or {}) | {name: value for name, value in given.items() if value is not None}
    return EvaluationLimits(**{name: None if value == math.inf else value for name, value in limits.items()})


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, found {text!r}")
    return seconds


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kind(field: dataclasses.Field) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """argparse's keywords for a field's type."""
    default, choices = field.metadata["default"], field.metadata.get("choices")
    bounds = {name: bound for name in ("low", "high") if (bound := field.metadata.get(name)) is not None}
    if choices is not None:
        return {"choices": choices}, {}
    if isinstance(default, bool):
        return {"action": argparse.BooleanOptionalAction, "default": None}, {}
    if isinstance(default, tuple):
        return {"type": count(**bounds), "nargs": "+"}, {"metavar": "N"}
    if isinstance(default, int):
        return {"type": count(**bounds)}, {"metavar": "N"}
    if isinstance(default, float) or field.type == (float | None):
        return {"type": number(**bounds)}, {"metavar": "X"}
    return None, {}
