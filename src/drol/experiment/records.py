"""Options as config.json stores them, including files of earlier versions."""

import math
from collections.abc import Mapping
from pathlib import Path

from drol.experiment.options import Option, Value
from drol.files import JsonValue

Json = dict[str, object]

LATER = {
    *("evaluation_limits", "action_low", "action_high", "normalize_observations", "columns"),
    *("chunk", "n_step", "replan", "public_returns", "protocol", "sparse_rewards", "eval_async"),
}
"""Entries that runs of earlier versions lack; missing settings take the defaults of `Settings`."""


def placed(values: Mapping[str, Value], options: Mapping[str, Option]) -> Json:
    """The options that config.json stores, each in its place."""
    record: Json = {}
    for name, option in options.items():
        if option.at is not None:
            inner = record
            for part in option.at[:-1]:
                inner = inner.setdefault(part, {})
                assert isinstance(inner, dict)
            inner[option.at[-1]] = _plain(values[name])
    return record


def found(record: Mapping[str, object], options: Mapping[str, Option]) -> dict[str, object]:
    """The options that a record holds, by name.

    Raises:
        TypeError, ValueError: naming what is missing, or what should be an object and is not.
    """
    values: dict[str, object] = {}
    missing = []
    for name, option in options.items():
        if option.at is None:
            continue
        inner: object = record
        for part in option.at[:-1]:
            inner = inner.get(part, {}) if isinstance(inner, Mapping) else inner
        if not isinstance(inner, Mapping):
            raise TypeError(f"{option.at[0]!r} should be an object, found {inner!r:.100}")
        if option.at[-1] in inner:
            value = inner[option.at[-1]]
            values[name] = math.inf if value is None and option.type == "seconds" else value
        elif len(option.at) == 1 and name not in LATER:
            missing.append(option.at[0])
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    return values


def _plain(value: Value) -> JsonValue:
    """A value as JSON; an infinite limit becomes null."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    return None if value == math.inf else value


def plain_mapping(values: Mapping[str, Value]) -> Json:
    """Hyperparameters as JSON."""
    return {name: _plain(value) for name, value in values.items()}
