"""Checks of a policy's settings, whether they come from a caller or from a file."""

import operator
from typing import Any

MOST_NUMBERS = 1_000_000_000
"""The most dimensions of an observation or action, and the widest layer."""

LARGEST = 1e30
"""The largest radius or standard deviation: a larger one would overflow float32 inside a network."""

MOST_SAMPLES = 1_000_000
MOST_MEMBERS = 10_000
MOST_STEPS = 10_000
"""A program of more steps would never finish compiling."""


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise a ValueError unless the value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, found {value!r}")


def check_count(name: str, value: Any, most: int) -> None:
    """Raise a ValueError unless the value is a whole number from 1 to `most`."""
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or not 1 <= operator.index(value) <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, found {value!r}")


def check_number(name: str, value: Any) -> None:
    """Raise a ValueError unless the value is a number from 0 to `LARGEST`."""
    if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 <= value <= LARGEST:
        raise ValueError(f"{name} must be a finite number from 0 to {LARGEST:g}, found {value!r:.100}")


def check_widths(name: str, value: object) -> None:
    """Raise a ValueError unless the value is a list of widths of a network's hidden layers."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 100:
        raise ValueError(f"{name} must be a list of up to 100 widths, found {value!r:.100}")
    for width in value:
        check_count(name, width, MOST_NUMBERS)
