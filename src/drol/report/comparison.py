"""A comparison of methods: what is compared, and the one protocol that all of it follows."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drol.files import DataError, read_json, write_json
from drol.training.settings import chunk_length

FILE = "comparison.json"


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long every method trains on a task.

    Attributes:
        updates: of a run.
        eval_every: updates between evaluations.

    Raises:
        DataError: if one of them is not positive.
        ValueError: if they have no common divisor of at least 2.
    """

    updates: int = 20_000
    eval_every: int = 2_500

    def __post_init__(self):
        _refuse_below_one(self, ("updates", "eval_every"))
        chunk_length(self.updates, self.eval_every)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What every method is trained on, for how long, and how it is judged.

    Attributes:
        tasks: a budget by the label of each task.
        algorithms: names in the registry.
        size: of networks, one of `drol.presets.SIZES`.
        seeds: one run of each method on each task per seed.
        eval_episodes: episodes per evaluation.
        hidden: hidden widths of every network; None for those of the size.
        env: the environment of evaluation; None for the task's own.

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

    def __post_init__(self):
        for name in ("tasks", "algorithms", "seeds"):
            if not getattr(self, name):
                raise DataError(f"a comparison needs {name}, found none")
        _refuse_below_one(self, ("eval_episodes",))

    def extended(
        self, tasks: set[str], algorithms: set[str], budget: Mapping[str, int], given: Mapping[str, Any]
    ) -> "Comparison":
        """The same with further tasks and algorithms, further seeds or more updates.

        Args:
            tasks, algorithms: to add, or to go on with.
            budget: fields of these tasks' budget; what it leaves out stays as it was. A task that joins takes that from
                the others where they agree.
            given: further fields by name.

        Raises:
            DataError: for a change that would make old and new cells incomparable.
        """
        changes = {name: value for name, value in given.items() if value != getattr(self, name)}
        for name, value in changes.items():
            before = getattr(self, name)
            if name != "seeds":
                raise _differs(name, before, value)
            if not set(before) <= set(value):
                raise DataError(f"the comparison was begun with seeds {_listed(before)}; add to them, or {_REMEDY}")
        agreed = set(self.tasks.values())
        usual = agreed.pop() if len(agreed) == 1 else Budget()
        changed = {task: dataclasses.replace(self.tasks.get(task, usual), **budget) for task in tasks}
        for task, before in self.tasks.items():
            after = changed.get(task, before)
            if after.eval_every != before.eval_every:
                raise _differs("eval_every", before.eval_every, after.eval_every)
            if after.updates < before.updates:
                raise DataError(
                    f"the comparison was begun with {before.updates} updates, and can only be extended: {_REMEDY}"
                )
        return dataclasses.replace(
            self,
            tasks=dict(sorted((dict(self.tasks) | changed).items())),
            algorithms=tuple(sorted(algorithms | set(self.algorithms))),
            **changes,
        )

    def save(self, results: Path) -> None:
        """Write it into a folder of results."""
        write_json(results / FILE, dict(sorted(dataclasses.asdict(self).items())))


def load(results: Path) -> Comparison:
    """The comparison that a folder of results belongs to.

    Raises:
        DataError: if there is none, or it is damaged.
    """
    stored = read_json(results / FILE)
    names = {field.name for field in dataclasses.fields(Comparison)}
    if not isinstance(stored, dict) or set(stored) != names:
        raise DataError(f"{results / FILE} does not describe a comparison; was it edited?")
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    fields["tasks"] = {task: Budget(**budget) for task, budget in stored["tasks"].items()}
    return Comparison(**fields)


_REMEDY = "leave the option out, or choose another folder with --out"


def _refuse_below_one(numbers: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(numbers, name) < 1:
            raise DataError(f"{name} must be at least 1, found {getattr(numbers, name)}")


def _differs(name: str, before: Any, after: Any) -> DataError:
    return DataError(f"the comparison was begun with {name} {_shown(before)}, not {_shown(after)}: {_REMEDY}")


def _shown(value: Any) -> str:
    return "by default" if value is None else _listed(value) if isinstance(value, tuple) else repr(value)


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
