"""What a comparison compares: algorithms, each at every combination of the values that are varied."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drol.algorithms.registry import TITLES
from drol.errors import UsageError
from drol.extras import lazy

if TYPE_CHECKING:
    from drol.experiment import config as configuration
    from drol.experiment import options
else:
    # These import JAX, which the help and the table of finished results can do without.
    configuration, options = lazy("drol.experiment.config"), lazy("drol.experiment.options")

Value = bool | int | float | str
"""A value that is varied."""

Values = Mapping[str, tuple[Value, ...]]
"""The values of each field that is varied, by name."""

RUN = ("chunk", "n_step", "replan")
"""The options of a run that can be varied; all others are hyperparameters."""


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
        return ",".join([self.algorithm, *(f"{name}={written(value)}" for name, value in self.values)])

    @property
    def title(self) -> str:
        """As in tables: `DROL`, or `DROL, num_candidates 64, chunk 5`."""
        words = (f"{name} {written(value)}" for name, value in self.values)
        return ", ".join([TITLES.get(self.algorithm, self.algorithm), *words])

    def options(self) -> list[str]:
        """The options of `drol train` that set the values."""
        given = []
        for name, value in self.values:
            if isinstance(value, bool):
                given.append(options.option_name(name if value else f"no_{name}"))
            else:
                given += [options.option_name(name), written(value)]
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


def check(method: Method) -> None:
    """Refuse values that contradict each other.

    Raises:
        UsageError: saying which.
    """
    values = dict(method.values)
    chunk = int(values.get("chunk", 1))
    if int(values.get("n_step", chunk)) < chunk:
        raise UsageError(f"{method.name}: n_step must be at least chunk; vary them in separate comparisons")
    if int(values.get("replan", 1)) > chunk:
        raise UsageError(f"{method.name}: replan must not exceed chunk; vary them in separate comparisons")


def written(value: Value) -> str:
    """A value as on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
