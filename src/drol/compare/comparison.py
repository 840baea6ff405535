"""A comparison of methods: what is compared, and the one protocol that all runs follow."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from drol.compare.methods import Method, Value, Values, methods_of
from drol.data.readers.columns import columns_as_text, parse_columns
from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.errors import DataError
from drol.files import JsonValue, read_json, write_json
from drol.training.settings import call_length

FILE = "comparison.json"

LATER = {
    "columns": None,
    "eval_max_steps": DEFAULT.steps,
    "eval_max_seconds": DEFAULT.seconds,
    "step_seconds": DEFAULT.step_seconds,
    "vary": {},
}
"""Fields that files of earlier versions lack, and what they then were."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long every method trains on a task.

    Attributes:
        updates: per run.
        eval_every: updates between evaluations.

    Raises:
        DataError: if one of them is not positive.
        ValueError: if no compiled call of at least 2 updates divides both.
    """

    updates: int = 20_000
    eval_every: int = 2_500

    def __post_init__(self):
        _refuse_below_one(self, ("updates", "eval_every"))
        call_length(self.updates, self.eval_every)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What every method is trained on, for how long, and how it is evaluated.

    Attributes:
        tasks: the budget of each task, by label.
        algorithms: names in the registry.
        size: of networks, one of `drol.presets.SIZES`.
        seeds: one run of each method on each task per seed.
        eval_episodes: episodes per evaluation.
        hidden: hidden widths of every network; None for those of the size.
        env: the environment of evaluation; None for the task's own.
        columns: names of the arrays in the user's own logs; None if all have the usual names.
        eval_max_steps, eval_max_seconds, step_seconds: see `EvaluationLimits`.
        vary: what each algorithm is given several values of, by algorithm and field; every combination is a method.

    Raises:
        DataError: if there are no tasks, algorithms or seeds, or eval_episodes is not positive.
    """

    tasks: Mapping[str, Budget]
    algorithms: tuple[str, ...]
    size: str = "laptop"
    seeds: tuple[int, ...] = (0, 1, 2)
    eval_episodes: int = 20
    hidden: tuple[int, ...] | None = None
    env: str | None = None
    columns: Mapping[str, str | None] | None = None
    eval_max_steps: int | None = DEFAULT.steps
    eval_max_seconds: float | None = DEFAULT.seconds
    step_seconds: float | None = DEFAULT.step_seconds
    vary: Mapping[str, Values] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("tasks", "algorithms", "seeds"):
            if not getattr(self, name):
                raise DataError(f"a comparison needs {name}, found none")
        _refuse_below_one(self, ("eval_episodes",))

    @property
    def methods(self) -> tuple[Method, ...]:
        """What is compared: every algorithm at every combination of the values that are varied."""
        return self.methods_of(self.algorithms)

    def methods_of(self, algorithms: Iterable[str]) -> tuple[Method, ...]:
        """The methods of some algorithms."""
        return tuple(method for name in algorithms for method in methods_of(name, self.vary.get(name, {})))

    def extended(
        self, *, tasks: Iterable[str], algorithms: Iterable[str], budget: Mapping[str, int], given: Mapping[str, Any]
    ) -> "Comparison":
        """The same comparison with further tasks and algorithms, further seeds or more updates.

        Args:
            tasks, algorithms: to add, or to continue.
            budget: fields of these tasks' budget; fields that it leaves out stay as they were. A new task takes them
                from the others.
            given: further fields by name; `vary` with all values of all algorithms.

        Raises:
            DataError: for a change that would make old and new cells incomparable; for a new task that would take its
                budget from others whose budgets differ.
        """
        every = tuple(sorted({*algorithms, *self.algorithms}))
        vary = self._varied_further(given.get("vary", {}))
        changes = {name: value for name, value in given.items() if name != "vary" and value != getattr(self, name)}
        for name, value in changes.items():
            before = getattr(self, name)
            if name in ("eval_max_seconds", "step_seconds"):
                continue
            if name != "seeds":
                raise DataError(
                    f"the comparison was begun with {name} {_shown(before)}, not {_shown(value)}: {_REMEDY}"
                )
            if not set(before) <= set(value):
                raise DataError(f"the comparison was begun with seeds {_listed(before)}; add to them, or {_REMEDY}")
        budgets = {task: self._budget(task, budget) for task in tasks}
        return dataclasses.replace(
            self,
            tasks=dict(sorted((dict(self.tasks) | budgets).items())),
            algorithms=every,
            vary=vary,
            **changes,
        )

    def _varied_further(self, given: Mapping[str, Values]) -> dict[str, Values]:
        """The values of each field, with those that are added, by algorithm."""
        for algorithm in self.algorithms:
            before, after = self.vary.get(algorithm, {}), given.get(algorithm, {})
            if further := [name for name in after if name not in before]:
                raise DataError(f"the comparison was begun without varying {further[0]}: {_REMEDY}")
            for name, values in before.items():
                if missing := [value for value in values if value not in after.get(name, ())]:
                    raise DataError(
                        f"the comparison was begun with {name} {_listed(values)}, and {missing[0]} is not among those "
                        f"that are given; add to them, or {_REMEDY}"
                    )
        found: dict[str, Values] = {}
        for algorithm, fields in given.items():
            before = self.vary.get(algorithm, {})
            found[algorithm] = {name: _first(before.get(name, ()), values) for name, values in fields.items()}
        return found

    def _budget(self, task: str, given: Mapping[str, int]) -> Budget:
        """The budget of a new or a continued task; what is not given is that of the others, or stays as it was."""
        before = self.tasks.get(task)
        if before is None:
            names = ("updates", "eval_every")
            return Budget(**{name: given[name] if name in given else self._agreed(task, name) for name in names})
        after = dataclasses.replace(before, **given)
        if after.eval_every != before.eval_every:
            raise DataError(
                f"{task} was begun with eval_every {before.eval_every}, not {after.eval_every}: {_REMEDY_OF_TASKS}"
            )
        if after.updates < before.updates:
            raise DataError(
                f"{task} has {before.updates} updates and can only be extended, not cut to {after.updates}: "
                f"{_REMEDY_OF_TASKS}"
            )
        return after

    def _agreed(self, task: str, name: str) -> int:
        """The value on which the budgets of all tasks agree."""
        values = {getattr(budget, name) for budget in self.tasks.values()}
        if len(values) > 1:
            option = name.replace("_", "-")
            raise DataError(
                f"{task} is new among tasks that differ in {name} ({_listed(sorted(values))}): add --{option}"
            )
        return values.pop()

    def save(self, results: Path) -> None:
        """Write it into a folder of results."""
        write_json(results / FILE, dict(sorted(dataclasses.asdict(self).items())))


def load(results: Path) -> Comparison:
    """The comparison that a folder of results belongs to.

    Raises:
        DataError: if there is none, or it is damaged.
    """
    path = results / FILE
    stored = read_json(path)
    try:
        return _rebuilt(stored)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(
            f"{path} does not describe a comparison ({error}); was it edited, or written by another version?"
        ) from None


def _rebuilt(stored: Any) -> Comparison:
    """A comparison from its JSON; raises TypeError, KeyError, AttributeError or ValueError on malformed input."""
    if isinstance(stored, dict):
        stored = LATER | stored
    budgets = stored["tasks"]
    for cls, found in ((Comparison, stored), *((Budget, budget) for budget in budgets.values())):
        names = [field.name for field in dataclasses.fields(cls)]
        if set(found) != set(names):
            raise TypeError(f"expected the fields {', '.join(names)}, found {', '.join(found)}")
    seeds, algorithms, hidden = (_items(stored[name]) for name in ("seeds", "algorithms", "hidden"))
    counts = [stored["eval_episodes"], *(count for budget in budgets.values() for count in budget.values())]
    for kind, values in ((int, (*counts, *seeds, *hidden)), (str, (stored["size"], *algorithms))):
        if wrong := [value for value in values if type(value) is not kind]:
            raise TypeError(f"expected {kind.__name__}, found {wrong[0]!r}")
    if outside := [name for name in (*budgets, *algorithms) if name in ("", ".", "..") or set(name) & set("/\0")]:
        raise ValueError(f"expected names of tasks and algorithms, found {outside[0]!r}")
    if type(stored["env"]) not in (str, type(None)):
        raise TypeError(f"expected the name of an environment, found {stored['env']!r}")
    _check_columns(stored["columns"])
    _check_limits([stored[name] for name in ("eval_max_steps", "eval_max_seconds", "step_seconds")])
    vary = {name: _values(fields) for name, fields in stored["vary"].items()}
    fields = {"seeds": seeds, "algorithms": algorithms, "hidden": hidden or None, "vary": vary}
    return Comparison(**(stored | fields | {"tasks": {task: Budget(**budget) for task, budget in budgets.items()}}))


def _values(fields: JsonValue) -> dict[str, tuple[Value, ...]]:
    """What one algorithm is given several values of; a value becomes part of the name of a folder."""
    if not isinstance(fields, dict):
        raise TypeError(f"expected fields and their values, found {fields!r}")
    found = {name: _items(values) for name, values in fields.items()}
    for value in (value for values in found.values() for value in values):
        if not isinstance(value, bool | int | float | str) or set(str(value)) & set("/\0"):
            raise TypeError(f"expected a number or a word, found {value!r}")
    return found


def _first(before: tuple[Value, ...], values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values that were there before, then those that are new."""
    return before + tuple(value for value in values if value not in before)


def _check_columns(columns: JsonValue) -> None:
    if columns is None:
        return
    if not isinstance(columns, dict) or not all(isinstance(source, str | None) for source in columns.values()):
        raise TypeError(f"expected names of columns, found {columns!r}")
    parse_columns(columns_as_text(columns))


def _check_limits(limits: list[Any]) -> None:
    for limit, kinds in zip(limits, ((int,), (int, float), (int, float)), strict=True):
        if limit is not None and type(limit) not in kinds:
            raise TypeError(f"expected {kinds[-1].__name__}, found {limit!r}")
    EvaluationLimits(*limits)


def _items(value: JsonValue) -> tuple[Any, ...]:
    if value is not None and not isinstance(value, list):
        raise TypeError(f"expected a list, found {value!r}")
    return tuple(value or ())


_REMEDY = "leave the option out, or choose another folder with --out"
_REMEDY_OF_TASKS = f"name the TASKs that are meant, {_REMEDY}"


def _refuse_below_one(numbers: Comparison | Budget, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(numbers, name) < 1:
            raise DataError(f"{name} must be at least 1, found {getattr(numbers, name)}")


def _shown(value: tuple[int, ...] | JsonValue) -> str:
    return "by default" if value is None else _listed(value) if isinstance(value, tuple) else repr(value)


def _listed(values: Iterable[Value]) -> str:
    return ", ".join(map(str, values))
