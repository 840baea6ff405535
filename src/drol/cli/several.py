"""Seeds and sweeps as written on a command line."""

import argparse
import itertools


def seed_list(text: str) -> list[int]:
    """`0-7`, `1,4,9` or `0-2,5` as numbers.

    Raises:
        argparse.ArgumentTypeError: for anything else, or a seed named twice.
    """
    try:
        seeds = list(itertools.chain.from_iterable(map(_seed_range, text.split(","))))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seeds like 0-7 or 0,3,5, found {text!r}") from None
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"a seed is named twice in {text!r}")
    return seeds


def _seed_range(text: str) -> range:
    first, _, last = text.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise ValueError("an empty range")
    return seeds


def sweep(text: str) -> tuple[str, list[float]]:
    """`bc_coef=1,3,10` as a name and its values.

    Raises:
        argparse.ArgumentTypeError: for anything else, or a value named twice.
    """
    name, _, values = text.partition("=")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a name and values like bc_coef=1,3,10, found {text!r}") from None
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"a value is named twice in {text!r}")
    return name.strip().lstrip("-").replace("-", "_"), numbers
