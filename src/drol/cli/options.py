"""Command-line options made from an algorithm's typed fields, and helpers that commands share."""

import argparse
import dataclasses
import os
from typing import Any

from drol.algorithm import Algorithm


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


def given_hyperparameters(parsed: argparse.Namespace) -> dict[str, Any]:
    """The hyperparameters given on the command line, by field name."""
    prefix = "hyperparameter_"
    values = {n.removeprefix(prefix): v for n, v in vars(parsed).items() if n.startswith(prefix) and v is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kind(field: dataclasses.Field) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """argparse's keywords for a field's type."""
    default, choices = field.metadata["default"], field.metadata.get("choices")
    if choices is not None:
        return {"choices": choices}, {}
    if isinstance(default, bool):
        return {"action": argparse.BooleanOptionalAction, "default": None}, {}
    if isinstance(default, tuple):
        return {"type": int, "nargs": "+"}, {"metavar": "N"}
    if isinstance(default, int):
        return {"type": int}, {"metavar": "N"}
    if isinstance(default, float) or field.type == (float | None):
        return {"type": float}, {"metavar": "X"}
    return None, {}
