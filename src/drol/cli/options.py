"""Command-line options that several commands share. Imports no JAX."""

import argparse
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from drol.cli.numbers import count, number, seconds
from drol.data.readers.columns import parse_columns
from drol.environments.limits import DEFAULT, UNLIMITED_STEPS, EvaluationLimits
from drol.errors import DataError, UsageError


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
        type=columns,
        metavar="NAME=COLUMN,...",
        help="names of the log's arrays, if they differ from ours: observations=obs,actions=acts,...\n(also group/obs; "
        "a+b: concatenated; terminated=none: no episode terminates)",
    )


def columns(text: str) -> dict[str, str | None]:
    try:
        return parse_columns(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def bounds_of(low: list[float] | None, high: list[float] | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds as arrays; None if they were not given.

    Raises:
        UsageError: if one of the two is missing.
    """
    if (low is None) != (high is None):
        raise UsageError("--action-low and --action-high belong together: give both")
    return None if low is None or high is None else (np.array(low, np.float64), np.array(high, np.float64))


def add_limits(parser: argparse.ArgumentParser | argparse._ArgumentGroup, prefix: str = "") -> None:
    """The options that limit an evaluation; their names begin with `prefix`, except `--step-seconds`."""
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
        type=seconds,
        metavar="S",
        help=f"end an evaluation after S seconds and mark it as incomplete;\ninf: never (default: {DEFAULT.seconds:g})",
    )
    parser.add_argument(
        "--step-seconds",
        type=seconds,
        metavar="S",
        help=f"give up on an environment that takes longer for a step or a reset\n(default: {DEFAULT.step_seconds:g})",
    )


def limits_of(parsed: argparse.Namespace, stored: Mapping[str, Any] | None = None) -> EvaluationLimits:
    """The limits that were given, else those of a run's configuration, else the defaults."""
    given = {"steps": parsed.max_steps, "seconds": parsed.max_seconds, "step_seconds": parsed.step_seconds}
    limits = dict(stored or {}) | {name: value for name, value in given.items() if value is not None}
    return EvaluationLimits(**{name: None if value == math.inf else value for name, value in limits.items()})
