"""Checks of what a policy is made with, by whoever calls it or whatever file describes it."""

import operator

MOST_NUMBERS = 1_000_000_000
"""Of an observation or action."""

LARGEST = 1e30
"""Of a radius or a spread: a larger one overflows float32 on its way through a network."""

MOST_SAMPLES = 1_000_000
MOST_MEMBERS = 10_000
MOST_STEPS = 10_000
"""A program of more would not compile in a lifetime."""


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise a ValueError for what is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, found {value!r}")


def check_count(name: str, value: object, most: int) -> None:
    """Raise a ValueError for what is no whole number from 1 to `most`."""
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or not 1 <= operator.index(value) <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, found {value!r}")


def check_number(name: str, value: object) -> None:
    """Raise a ValueError for what is no number from 0 to `LARGEST`."""
    if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 <= value <= LARGEST:
        raise ValueError(f"{name} must be a finite number from 0 to {LARGEST:g}, found {value!r:.100}")


def check_widths(name: str, value: object) -> None:
    """Raise a ValueError for what is no list of the widths of a network's hidden layers."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 100:
        raise ValueError(f"{name} must be a list of up to 100 widths, found {value!r:.100}")
    for width in value:
        check_count(name, width, MOST_NUMBERS)
