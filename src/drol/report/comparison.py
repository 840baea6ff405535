"""A comparison of methods: what is compared, and the one protocol that all of it follows."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drol.files import DataError, read_json, write_json
from drol.training.settings import chunk_length

FILE = "comparison.json"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What every method is trained on, for how long, and how it is judged.

    Attributes:
        tasks: their labels.
        algorithms: names in the registry.
        size: of networks, one of `drol.presets.SIZES`.
        seeds: one run of each method on each task per seed.
        updates: of a run.
        eval_every: updates between evaluations.
        eval_episodes: episodes per evaluation.
        hidden: hidden widths of every network; None for those of the size.
        env: the environment of evaluation; None for the task's own.

    Raises:
        ValueError: if updates and eval_every have no common divisor of at least 2.
        DataError: if there are no tasks, algorithms or seeds.
    """

    tasks: tuple[str, ...]
    algorithms: tuple[str, ...]
    size: str = "laptop"
    seeds: tuple[int, ...] = (0, 1, 2)
    updates: int = 20_000
    eval_every: int = 2_500
    eval_episodes: int = 20
    hidden: tuple[int, ...] | None = None
    env: str | None = None

    def __post_init__(self):
        for name in ("tasks", "algorithms", "seeds"):
            if not getattr(self, name):
                raise DataError(f"a comparison needs {name}, found none")
        for name in ("updates", "eval_every", "eval_episodes"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} must be at least 1, found {getattr(self, name)}")
        chunk_length(self.updates, self.eval_every)

    def extended(self, tasks: set[str], algorithms: set[str], given: Mapping[str, Any]) -> "Comparison":
        """The same with further tasks and algorithms, further seeds or more updates.

        Args:
            tasks, algorithms: to add.
            given: further fields by name; None for those that are to stay.

        Raises:
            DataError: for a change that would make old and new cells incomparable.
        """
        changes = {name: value for name, value in given.items() if value is not None and value != getattr(self, name)}
        for name, value in changes.items():
            before = getattr(self, name)
            if name == "updates" and value < before:
                raise DataError(f"the comparison was begun with {before} updates, and can only be extended: {_REMEDY}")
            if name == "seeds" and not set(before) <= set(value):
                raise DataError(f"the comparison was begun with seeds {_listed(before)}; add to them, or {_REMEDY}")
            if name not in ("updates", "seeds"):
                raise DataError(
                    f"the comparison was begun with {name} {_shown(before)}, not {_shown(value)}: {_REMEDY}"
                )
        union = {
            "tasks": tuple(sorted(tasks | set(self.tasks))),
            "algorithms": tuple(sorted(algorithms | set(self.algorithms))),
        }
        return dataclasses.replace(self, **changes, **union)

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
    return Comparison(**fields)


_REMEDY = "leave the option out, or choose another folder with --out"


def _shown(value: Any) -> str:
    return "by default" if value is None else _listed(value) if isinstance(value, tuple) else repr(value)


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
