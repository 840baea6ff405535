"""Tables of hyperparameters from papers and repositories; each method's column stands next to its class.

The columns of IQL, ReBRAC, FAWAC, FBRAC and IFQL are from Table 6 of the FQL paper (Park et al. 2025), that of FQL is
from the README of its repository, and those of SORL, DeFlow and DROL are from the commands of their repositories. Where
the paper's table and the README differ on FQL, by a factor of ten on adroit, the README is used, because it states the
exact flags. FAWAC's and FBRAC's entries on adroit are the paper's; no other source states them.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from drol.algorithms.registry import TITLES
from drol.published import Mark, Preset

FQL_PAPER = "FQL paper (Park et al. 2025), Table 6"
INFERRED = "inferred from the offline-to-online runs: FQL paper (Park et al. 2025), Table 7"
DOUBTFUL = f"{FQL_PAPER}; the number is hard to read there"
UNREAD = "unknown: the row could not be read in Table 6 of the FQL paper (Park et al. 2025)"

Number = int | float


class Marked(NamedTuple):
    """Numbers with a mark; `value` is None if they are unknown."""

    value: Number | tuple[Number, ...] | None
    mark: Mark | None = None


def inferred(*value: Number) -> Marked:
    """Taken from the offline-to-online runs of the same paper."""
    return Marked(value, "inferred")


def doubtful(value: Number) -> Marked:
    """Hard to read in the source."""
    return Marked(value, "doubtful")


UNKNOWN = Marked(None, "unknown")

Entry = Number | tuple[Number, ...] | Marked
Three = tuple[Entry, Entry, Entry]

FAMILIES: dict[str, dict[str, Any]] = {
    "antmaze-large-navigate": {"q_agg": "min"},
    "antmaze-giant-navigate": {"discount": 0.995, "q_agg": "min"},
    "humanoidmaze-medium-navigate": {"discount": 0.995},
    "humanoidmaze-large-navigate": {"discount": 0.995},
    "antsoccer-arena-navigate": {"discount": 0.995},
    "cube-single-play": {},
    "cube-double-play": {},
    "scene-play": {},
    "puzzle-3x3-play": {},
    "puzzle-4x4-play": {},
}
"""OGBench's families, five tasks each, and what methods share on them: a discount other than 0.99 and, for methods that
have a choice, an aggregation in the Bellman target other than the mean."""

ADROIT = {"q_agg": "min"}
"""The same for the hands of D4RL."""

SIZES = ("medium", "large", "giant", "teleport")
LENDERS = {
    **{f"pointmaze-{size}-{kind}": "antmaze-large-navigate" for size in SIZES for kind in ("navigate", "stitch")},
    **{f"antmaze-{size}-navigate": "antmaze-large-navigate" for size in ("medium", "teleport")},
    **{f"antmaze-{size}-stitch": "antmaze-large-navigate" for size in ("medium", "large", "teleport")},
    **{f"antmaze-{size}-explore": "antmaze-large-navigate" for size in ("medium", "large", "teleport")},
    "antmaze-giant-stitch": "antmaze-giant-navigate",
    **{
        f"antsoccer-{rest}": "antsoccer-arena-navigate" for rest in ("medium-navigate", "arena-stitch", "medium-stitch")
    },
}
"""Families for which nothing is published -> the family whose values they borrow, each method its own."""

ANTMAZES = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
HANDS = ("pen", "door", "hammer", "relocate")
DATA = ("human", "cloned", "expert")
D4RL_TASKS = (
    *(f"antmaze-{maze}-v2" for maze in ANTMAZES),
    *(f"{hand}-{data}-v1" for hand in HANDS for data in DATA),
)


class OGBench(NamedTuple):
    """A method's column for `FAMILIES`."""

    antmaze_large: Entry
    antmaze_giant: Entry
    humanoidmaze_medium: Entry
    humanoidmaze_large: Entry
    antsoccer_arena: Entry
    cube_single: Entry
    cube_double: Entry
    scene: Entry
    puzzle_3x3: Entry
    puzzle_4x4: Entry


class D4RL(NamedTuple):
    """A method's column for D4RL: `antmaze` in the order of `ANTMAZES`, each hand in the order of `DATA`."""

    antmaze: tuple[Entry, ...]
    pen: Three
    door: Three
    hammer: Three
    relocate: Three

    def by_task(self) -> dict[str, Entry]:
        """The entries by the names of their tasks."""
        entries = (*self.antmaze, *self.pen, *self.door, *self.hammer, *self.relocate)
        return dict(zip(D4RL_TASKS, entries, strict=True))


def is_antmaze(task: str) -> bool:
    """Whether a task of D4RL is one of its mazes, not one of its hands."""
    return task.startswith("antmaze")


def preset(
    algorithm: str,
    family: str,
    values: Mapping[str, Any],
    source: str,
    *,
    pattern: str | None = None,
    mark: Mark | None = None,
    unknown: tuple[str, ...] = (),
    tuned: Mapping[str, Any] | None = None,
    beside: str | None = None,
    at_size: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Preset:
    """A preset of a family of OGBench, or of a task of D4RL; the arguments are the fields of `Preset`."""
    if pattern is None:
        pattern = rf"{family}-singletask(-task\d)?-v0" if family in FAMILIES or family in LENDERS else family
    title = TITLES.get(algorithm, algorithm)
    return Preset(family, algorithm, title, pattern, values, source, mark, unknown, tuned, beside, at_size)


def borrowed(lender: str) -> str:
    """The source of values that are those of another family."""
    return f"borrowed from {lender}: no published preset"


def with_borrowers(presets: Iterable[Preset]) -> Iterator[Preset]:
    """Add the families for which nothing is published: they borrow each method's own row of another one."""
    known = {preset.family: preset for preset in presets}
    yield from known.values()
    for family, name in LENDERS.items():
        lender = known[name]
        if lender.mark == "unknown":
            yield preset(lender.algorithm, family, lender.values, lender.source, mark="unknown", unknown=lender.unknown)
        else:
            yield preset(lender.algorithm, family, lender.values, borrowed(name), mark="borrowed")


def everywhere(algorithm: str, source: str, *, on_d4rl: str | None = None) -> Iterator[Preset]:
    """Presets of a method with nothing to tune, or one set of values for all tasks: nothing is missing here."""
    for family in (*FAMILIES, *LENDERS):
        yield preset(algorithm, family, {}, source)
    for task in D4RL_TASKS:
        yield preset(algorithm, task, {}, on_d4rl or source)


@dataclasses.dataclass(frozen=True)
class Column:
    """How a method's entries become presets.

    Attributes:
        algorithm: the method's registered name.
        fields: the hyperparameters that its entries give; an entry has one number for each.
        source: where they come from.
        number: their type.
        always: fields that have the same value in every preset.
        chooses_aggregation: whether the method has the field `q_agg`.
        missing: why an entry may be unknown.
    """

    algorithm: str
    fields: tuple[str, ...]
    source: str
    number: type[int] | type[float] = float
    always: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    chooses_aggregation: bool = True
    missing: str = UNREAD

    def ogbench(self, entries: OGBench) -> Iterator[Preset]:
        """One preset for each family, and those that others borrow."""
        rows = zip(FAMILIES.items(), entries, strict=True)
        return with_borrowers(self._preset(family, entry, shared) for (family, shared), entry in rows)

    def d4rl(self, entries: D4RL) -> Iterator[Preset]:
        """One preset for each task."""
        for task, entry in entries.by_task().items():
            # Where nothing is published, neither is the aggregation.
            yield self._preset(task, entry, {} if is_antmaze(task) or entry is UNKNOWN else ADROIT)

    def _preset(self, family: str, entry: Entry, shared: Mapping[str, Any]) -> Preset:
        value, mark = entry if isinstance(entry, Marked) else Marked(entry)
        shared = {name: v for name, v in shared.items() if name != "q_agg" or self.chooses_aggregation}
        if value is None:
            return preset(self.algorithm, family, shared, self.missing, mark=mark, unknown=self.fields)
        numbers = value if isinstance(value, tuple) else (value,)
        values = {field: self.number(number) for field, number in zip(self.fields, numbers, strict=True)}
        source = {"inferred": INFERRED, "doubtful": DOUBTFUL}.get(mark or "", self.source)
        return preset(self.algorithm, family, {**values, **self.always, **shared}, source, mark=mark)
