"""Numbers as people write them on a command line: `1e6`, `100k`, `1_000_000`, `-.5`."""

import argparse
import decimal
import math
import re
from collections.abc import Callable

from drol.files import checksum
from drol.seeding import checked_seed

COUNT = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d{1,3})?[kKmM]?")
SCALES = {"k": 1_000, "m": 1_000_000}

NEGATIVE = re.compile(r"-(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d+)?[kKmM]?$|-(inf|infinity|nan)$", re.IGNORECASE)
"""What is a number and not an option, although it begins with a dash."""


def count(low: int = 1) -> Callable[[str], int]:
    """A reader of whole numbers that are at least `low`.

    Returns:
        A function for argparse's `type`, which raises argparse.ArgumentTypeError.
    """

    def read(text: str) -> int:
        number = _whole(text)
        if number is None or abs(number) >= 2**63:
            raise argparse.ArgumentTypeError(f"expected a whole number such as 20000, 1e6, 100k or 1M, found {text!r}")
        if number < low:
            raise argparse.ArgumentTypeError(
                f"must not be negative, found {text}" if low == 0 else f"must be at least {low}, found {text}"
            )
        return number

    return read


def seed(text: str) -> int:
    """A seed, for argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: if it is not a whole number from 0 to 2^64 - 1.
    """
    number = _whole(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^64 - 1, found {text!r}")
    try:
        return checked_seed(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^64 - 1, found {text}") from None


def number(low: int | float = float("-inf"), high: int | float = float("inf")) -> Callable[[str], float]:
    """A reader of numbers between two others, inclusive; infinity is allowed only if there is no bound.

    Returns:
        A function for argparse's `type`, which raises argparse.ArgumentTypeError.
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if value != value:
            raise argparse.ArgumentTypeError(f"expected a number such as 0.5 or 1e-3, found {text!r}")
        if not low <= value <= high or (abs(value) == float("inf") and low > float("-inf")):
            expected = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
            raise argparse.ArgumentTypeError(f"must be a finite number {expected}, found {text}")
        return value

    return read


def _whole(text: str) -> int | None:
    """The whole number that a text stands for; None if it is not one."""
    if not COUNT.fullmatch(text.strip()):
        return None
    digits, scale = text.strip(), 1
    if digits[-1].lower() in SCALES:
        digits, scale = digits[:-1], SCALES[digits[-1].lower()]
    value = decimal.Decimal(digits) * scale
    return int(value) if value == value.to_integral_value() else None


def sha256_of(text: str) -> str:
    """A SHA-256, for argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: if it is not one.
    """
    try:
        return checksum(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """A positive number of seconds, or `inf`, for argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: if it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, found {text!r}")
    return value
