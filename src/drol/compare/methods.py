"""What a comparison compares: algorithms, each at every combination of the values that are varied."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from drol.algorithms.registry import TITLES, algorithm_class
from drol.errors import UsageError, both
from drol.extras import lazy
from drol.files import listed

if TYPE_CHECKING:
    from drol import algorithm
    from drol.algorithm import Algorithm
    from drol.experiment import config as configuration
    from drol.experiment import names, options
else:
    # These import JAX, which the help and the table of finished results can do without.
    algorithm, configuration = lazy("drol.algorithm"), lazy("drol.experiment.config")
    names, options = lazy("drol.experiment.names"), lazy("drol.experiment.options")

Value = bool | int | float | str
"""A value that is varied."""

Values = Mapping[str, tuple[Value, ...]]
"""The values of each field that is varied, by name."""

RUN = ("chunk", "n_step", "replan")
"""The options of a run that can be varied; all others are hyperparameters."""

OF_THE_COMPARISON = ("hidden",)
"""Hyperparameters that are the same for all methods."""


@dataclasses.dataclass(frozen=True)
class Method:
    """An algorithm with one value of each field that is varied.

    Attributes:
        algorithm: its name in the registry, or `module:Class`.
        values: fields and their values.
    """

    algorithm: str
    values: tuple[tuple[str, Value], ...] = ()

    @property
    def name(self) -> str:
        """As in folders and results: `drol`, or `drol,num_candidates=64,chunk=5`."""
        return ",".join([self.algorithm, *(f"{name}={_written(value)}" for name, value in self.values)])

    @property
    def title(self) -> str:
        """As in tables: `DROL`, or `DROL, num_candidates 64, chunk 5`."""
        words = (f"{name} {_written(value)}" for name, value in self.values)
        return ", ".join([TITLES.get(self.algorithm, self.algorithm), *words])

    def options(self) -> list[str]:
        """The options of `drol train` that set the values."""
        given = []
        for name, value in self.values:
            if isinstance(value, bool):
                given.append(options.option_name(name if value else f"no_{name}"))
            else:
                given += [options.option_name(name), _written(value)]
        return given

    def found_in(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the same fields in the configuration of a run."""
        found = {}
        for name, _ in self.values:
            place = configuration.OPTIONS[name].at if name in RUN else ("hyperparameters", name)
            assert place is not None
            held: Any = config
            for part in place:
                held = held.get(part) if isinstance(held, Mapping) else None
            found[name] = 1 if held is None and name == "chunk" else held
        return found

    def hyperparameters(self) -> dict[str, Value]:
        """The values that are hyperparameters of the algorithm."""
        return {name: value for name, value in self.values if name not in RUN}

    def run_options(self) -> dict[str, Any]:
        """The values that are options of the run."""
        return {name: value for name, value in self.values if name in RUN}


def methods_of(name: str, varied: Values) -> list[Method]:
    """An algorithm at every combination of values."""
    combinations = itertools.product(*varied.values())
    return [Method(name, tuple(zip(varied, values, strict=True))) for values in combinations]


def by_algorithm(algorithms: Iterable[str], varied: Values) -> dict[str, dict[str, tuple[Value, ...]]]:
    """The fields that each algorithm has of those that are varied, with their values.

    Raises:
        UsageError: for a field that none of them has or that cannot be varied, or a value that it does not take.
    """
    if not varied:
        return {}
    classes = {name: algorithm_class(name) for name in algorithms}
    for field in varied:
        _refuse_unknown(field, classes)
    found: dict[str, dict[str, tuple[Value, ...]]] = {}
    for name, cls in classes.items():
        found[name] = {field: values for field, values in varied.items() if _has(cls, field)}
        for field, value in ((field, value) for field, values in found[name].items() for value in values):
            _check(name, cls, field, value)
    return found


def _has(cls: "type[Algorithm]", field: str) -> bool:
    return field in RUN or field in names.named_hyperparameters(cls)


def _refuse_unknown(field: str, classes: "Mapping[str, type[Algorithm]]") -> None:
    if field in OF_THE_COMPARISON:
        raise UsageError(*both(f"--{field} is the same for all methods of a comparison: give it without --vary"))
    if not any(_has(cls, field) for cls in classes.values()):
        known = dict.fromkeys(itertools.chain(RUN, *map(names.named_hyperparameters, classes.values())))
        raise UsageError(f"no method of this comparison has {field!r}; they have {listed(known, most=len(known))}")


def _check(name: str, cls: "type[Algorithm]", field: str, value: Value) -> None:
    """Raise if the field does not take the value."""
    try:
        if field in RUN:
            options.checked(field, configuration.OPTIONS[field], value)
        else:
            algorithm.from_hyperparameters(cls, {field: value})
    except ValueError as error:
        raise UsageError(f"{field}={_written(value)} does not fit {name}: {error}") from None


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
