"""The published rows as presets, by algorithm."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any

from drol.presets import sources
from drol.presets.preset import Preset
from drol.presets.published import ADROIT, D4RL, D4RL_IQL, D4RL_REBRAC, OGBENCH, UNKNOWN, Cell, Entry, Number
from drol.presets.sources import SOURCES

FIELDS = {
    "drol": ("bc_coef", "num_candidates"),
    "bc": (),
    "flow-bc": (),
    "iql": ("inverse_temperature",),
    "rebrac": ("alpha_actor", "alpha_critic"),
    "fawac": ("inverse_temperature",),
    "fbrac": ("alpha",),
    "ifql": ("num_samples",),
    "sorl": ("q_coef",),
    "deflow": ("target_divergence",),
    "fql": ("alpha",),
    "reform": (),
}
"""What is tuned per family, by algorithm."""

_ALWAYS = {"iql": {"expectile": 0.9}, "ifql": {"expectile": 0.9}}
_CHOOSES_AGGREGATION = ("drol", "fawac", "fbrac", "sorl", "deflow", "fql")

# IQL alone, and on manipulation alone. Whether IFQL's networks were of that size too is not stated.
_SMALLER = {"paper": {"hidden": (256, 256, 256, 256)}}
_MANIPULATION = ("cube", "scene", "puzzle")

_POINTMAZE = [
    f"pointmaze-{s}-{kind}" for s in ("medium", "large", "giant", "teleport") for kind in ("navigate", "stitch")
]
_DATA = ("human", "cloned", "expert")


def preset_for(task: str, algorithm: str = "drol") -> Preset | None:
    """The preset of a task; its `mark` says where something is not simply published.

    Args:
        task: the name of a task, with or without its number.
        algorithm: a registered name.

    Returns:
        None where nothing is published for the task, or the algorithm has no table.
    """
    return next((preset for preset in PRESETS.get(algorithm, ()) if re.fullmatch(preset.pattern, task)), None)


def _singletask(family: str) -> str:
    return rf"{family}-singletask(-task\d)?-v0"


def _shared(algorithm: str, discount: float, q_agg: str) -> dict[str, Any]:
    """The fields that many methods have, where they differ from the defaults."""
    values: dict[str, Any] = {} if discount == 0.99 else {"discount": discount}
    return values | ({"q_agg": q_agg} if q_agg != "mean" and algorithm in _CHOOSES_AGGREGATION else {})


def _with_pointmaze(presets: Iterable[Preset]) -> Iterator[Preset]:
    """Nothing is published for pointmaze: it borrows each method's own row of antmaze-large."""
    presets = list(presets)
    lender = next(preset for preset in presets if preset.family == "antmaze-large-navigate")
    yield from presets
    for family in _POINTMAZE:
        pattern = _singletask(family)
        yield dataclasses.replace(
            lender, family=family, pattern=pattern, source=sources.BORROWED, mark="borrowed", tuned=None
        )


def _drol() -> Iterator[Preset]:
    """DROL(16) and DROL*; one preset for all three data sets of a hand."""

    def preset(family: str, pattern: str, bc_coef: Number, star: tuple[Number, int], shared: dict[str, Any]) -> Preset:
        values, tuned = ({"bc_coef": float(b), "num_candidates": k} for b, k in ((bc_coef, 16), star))
        return Preset(family, "drol", pattern, values | shared, SOURCES["drol"], tuned=tuned)

    yield from _with_pointmaze(
        preset(
            row.family,
            _singletask(row.family),
            row.drol,
            (row.drol, row.drol_star),
            _shared("drol", row.drol_discount or row.discount, row.q_agg),
        )
        for row in OGBENCH
    )
    for row in D4RL:
        yield preset(row.task, row.task, row.drol, row.drol_star, {})
    for row in ADROIT:
        family, pattern = f"{row.hand}-{{{','.join(_DATA)}}}-v1", rf"{row.hand}-({'|'.join(_DATA)})-v1"
        yield preset(family, pattern, row.drol, (row.drol, row.drol_star), _shared("drol", 0.99, "min"))


def _peer(algorithm: str) -> Iterator[Preset]:
    """One column of the tables."""
    missing = sources.NOT_REPORTED if algorithm == "sorl" else sources.UNREAD
    yield from _with_pointmaze(
        _of(
            algorithm,
            row.family,
            _singletask(row.family),
            getattr(row, algorithm),
            _shared(algorithm, row.discount, row.q_agg),
            missing,
        )
        for row in OGBENCH
    )
    if algorithm in sources.D4RL_CONFIGURATIONS:
        yield from _configured(algorithm)
        return
    for row in D4RL:
        yield _of(algorithm, row.task, row.task, getattr(row, algorithm, UNKNOWN), {}, missing)
    for row in ADROIT:
        entry = getattr(row, algorithm, UNKNOWN)
        # Where nothing is published, the aggregation is not either.
        shared = {} if entry is UNKNOWN else _shared(algorithm, 0.99, "min")
        for index, data in enumerate(_DATA):
            task = f"{row.hand}-{data}-v1"
            one = entry[index] if isinstance(entry, tuple) and not isinstance(entry, Cell) else entry
            yield _of(algorithm, task, task, one, shared, missing)


def _configured(algorithm: str) -> Iterator[Preset]:
    """IQL and ReBRAC on D4RL."""
    for task, (alpha_actor, alpha_critic) in D4RL_REBRAC.items():
        family = "antmaze" if task.startswith("antmaze") else "adroit"
        if algorithm == "iql":
            temperature, expectile = D4RL_IQL[family]
            values = {"inverse_temperature": float(temperature), "expectile": expectile}
        else:
            values = {"alpha_actor": float(alpha_actor), "alpha_critic": float(alpha_critic)}
            values |= {"discount": 0.999} if family == "antmaze" else {}
        source, beside = sources.D4RL_CONFIGURATIONS[algorithm], sources.LACKING[algorithm, family]
        yield Preset(task, algorithm, task, values, source, beside=beside)


def _of(algorithm: str, family: str, pattern: str, entry: Entry, shared: dict[str, Any], missing: str) -> Preset:
    """One cell as a preset; `missing` is why it may be unknown."""
    value, mark = entry if isinstance(entry, Cell) else (entry, None)
    fields = FIELDS[algorithm]
    if value is None:
        return Preset(family, algorithm, pattern, shared, missing, mark, unknown=fields)
    numbers = value if isinstance(value, tuple) else (value,)
    kinds = (int if field == "num_samples" else float for field in fields)
    values = {field: kind(number) for field, kind, number in zip(fields, kinds, numbers, strict=True)}
    source = {"inferred": sources.INFERRED, "doubtful": sources.DOUBTFUL}.get(mark or "", SOURCES[algorithm])
    smaller = algorithm == "iql" and family.startswith(_MANIPULATION)
    return Preset(
        family,
        algorithm,
        pattern,
        values | _ALWAYS.get(algorithm, {}) | shared,
        source,
        mark,
        at_size=_SMALLER if smaller else {},
    )


def _untuned(algorithm: str) -> Iterator[Preset]:
    """Methods that clone and no more: that they have nothing to tune is a fact, not a gap."""
    source = SOURCES[algorithm]
    for family in (*(row.family for row in OGBENCH), *_POINTMAZE):
        yield Preset(family, algorithm, _singletask(family), {}, source)
    source = sources.BC_COPIED if algorithm == "bc" else source
    for task in (*(row.task for row in D4RL), *(f"{row.hand}-{data}-v1" for row in ADROIT for data in _DATA)):
        yield Preset(task, algorithm, task, {}, source)


def _reform() -> Iterator[Preset]:
    """The same values everywhere; borrowed where the method was not run."""
    values = {"q_coef": 0.1, "discount": 0.995}
    for preset in _untuned("reform"):
        if preset.family.startswith(("antmaze-large-navigate", "cube", "scene")):
            yield dataclasses.replace(preset, values=values)
        else:
            yield dataclasses.replace(preset, values=values, source=sources.REFORM_ELSEWHERE, mark="borrowed")


def _of_algorithm(algorithm: str) -> Iterator[Preset]:
    if algorithm == "drol":
        return _drol()
    if algorithm == "reform":
        return _reform()
    return _peer(algorithm) if FIELDS[algorithm] else _untuned(algorithm)


PRESETS = {algorithm: tuple(_of_algorithm(algorithm)) for algorithm in FIELDS}
"""Every preset, by algorithm."""
