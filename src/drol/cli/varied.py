"""What `drol compare --vary` asks for: fields and their values, read as `drol train` reads its options."""

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from drol.algorithm import Algorithm
from drol.algorithms.registry import algorithm_class
from drol.cli.generated import add_hyperparameters, given_hyperparameters, keywords
from drol.cli.parser import Parser
from drol.compare.methods import RUN, Value, Values, check, methods_of, written
from drol.errors import UsageError
from drol.experiment.config import OPTIONS
from drol.experiment.names import named_hyperparameters
from drol.experiment.options import option_name
from drol.files import listed
from drol.hyperparameters import is_continuous

OF_THE_COMPARISON = ("hidden",)
"""Hyperparameters that are the same for all methods."""


def words(text: str) -> tuple[str, tuple[str, ...]]:
    """`num_candidates=4,16` as a name and words.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    name, equals, values = text.partition("=")
    found = tuple(value.strip() for value in values.split(","))
    if not name.strip() or not equals or "" in found:
        raise argparse.ArgumentTypeError(f"expected a name and values like num_candidates=4,16, found {text!r}")
    return name.strip().lstrip("-").replace("-", "_"), found


def together(given: Iterable[tuple[str, tuple[str, ...]]], before: Mapping[str, Values]) -> dict[str, tuple[str, ...]]:
    """The words of each field: those that are given, else those of a comparison that has begun.

    Raises:
        UsageError: for a field that is given twice.
    """
    fields = {name: values for varied in before.values() for name, values in varied.items()}
    found = {name: tuple(map(written, values)) for name, values in fields.items()}
    twice: set[str] = set()
    for name, values in given:
        if name in twice:
            raise UsageError(f"{name} is given twice: name all its values in one --vary")
        twice.add(name)
        found[name] = values
    return found


def by_algorithm(algorithms: Iterable[str], varied: Mapping[str, Sequence[str]]) -> dict[str, Values]:
    """The fields that each algorithm has of those that are varied, with their values.

    No array is made: it would take a device from the runs that are to be trained on it.

    Raises:
        UsageError: for a field that none of them has or that cannot be varied, a value that it does not take, or values
            that contradict each other.
    """
    if not varied:
        return {}
    classes = {name: algorithm_class(name) for name in algorithms}
    for field in varied:
        _refuse_unknown(field, classes)
    found: dict[str, Values] = {}
    for name, cls in classes.items():
        fields = {field: given for field, given in varied.items() if field in (*RUN, *named_hyperparameters(cls))}
        found[name] = {field: _read(name, cls, field, given) for field, given in fields.items()}
        for method in methods_of(name, found[name]):
            check(method)
    return found


def _refuse_unknown(field: str, classes: Mapping[str, type[Algorithm]]) -> None:
    if field in OF_THE_COMPARISON:
        raise UsageError(f"{option_name(field)} is the same for all methods of a comparison: give it without --vary")
    known = dict.fromkeys(itertools.chain(RUN, *map(named_hyperparameters, classes.values())))
    if field not in known:
        raise UsageError(f"no method of this comparison has {field!r}; they have {listed(known, most=len(known))}")


def _read(name: str, cls: type[Algorithm], field: str, given: Sequence[str]) -> tuple[Value, ...]:
    """The values of a field, as `drol train` records them."""
    parser = Parser(prog="drol train", add_help=False)
    if field in RUN:
        parser.add_argument(option_name(field), **keywords(OPTIONS[field]))
    else:
        add_hyperparameters(parser, cls)
    try:
        values = tuple(_value(parser, cls, field, text) for text in given)
    except UsageError as error:
        raise UsageError(f"{field}={','.join(given)} does not fit {name}: {error}") from None
    if len(set(values)) < len(values):
        raise UsageError(f"a value of {field} is named twice: {', '.join(given)}")
    return values


def _value(parser: Parser, cls: type[Algorithm], field: str, text: str) -> Value:
    declared = {declared.name: declared for declared in dataclasses.fields(cls)}.get(field)
    if declared is not None and isinstance(declared.metadata.get("default"), bool):
        if text not in ("true", "false"):
            raise UsageError(f"expected true or false, found {text!r}")
        return text == "true"
    parsed = parser.parse_args([option_name(field), text])
    value = getattr(parsed, field) if field in RUN else given_hyperparameters(parsed)[field]
    # Runs hold and record 32 bits.
    return float(str(np.float32(value))) if declared is not None and is_continuous(declared) else value
