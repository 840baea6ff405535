"""`drol presets`: list tasks, hyperparameters and sizes."""

import argparse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from drol.cli.terminal import SIMPLE, Column, Console, Table
from drol.presets import PROTOCOLS, SIZES, TITLES, preset_for, protocol_presets, published

if TYPE_CHECKING:
    from drol.presets import Preset, Published

NAMES = ("drol", *(name for name in TITLES if name != "drol"))
"""Every method, DROL first."""

WIDE = 110
"""The width of the compact table, in characters."""


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--algorithm",
        choices=(*NAMES, "all"),
        default="drol",
        metavar="NAME",
        help=f"one of {', '.join(NAMES)},\nor all: one compact table (default: drol)",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="those of Q-chunking (qc) or of Q-learning with adjoint matching (qam) instead,\nwith chunks of actions",
    )


def run(parsed: argparse.Namespace) -> int:
    """Print the tables."""
    console = Console()
    if parsed.protocol is not None:
        several = _methods_of(parsed.protocol) if parsed.algorithm == "all" else [parsed.algorithm]
        _print_protocol(console, parsed.protocol, several)
        return 0
    if parsed.algorithm == "all":
        _print_all()
    else:
        _print_one(console, parsed.algorithm)
    console.print("OGBench tasks are FAMILY-singletask-taskN-v0 with N from 1 to 5.")
    if parsed.algorithm != "all":
        console.print(
            f"Without a preset, {TITLES[parsed.algorithm]}'s defaults apply: {_published(parsed.algorithm).advice}."
        )
    console.print(_sizes())
    return 0


def _print_one(console: Console, algorithm: str) -> None:
    """A method's presets, one row each, with the sources below."""
    title = f"Presets of {TITLES[algorithm]}"
    presets, fields = _published(algorithm).presets, _published(algorithm).fields
    if not presets:
        console.print(f"{title}: none are published for these tasks.")
        return
    sources = "; ".join(dict.fromkeys(preset.source for preset in presets if preset.mark is None))
    if not fields:
        same, borrowed = _further(presets[0]), [preset.source for preset in presets if preset.mark == "borrowed"]
        console.print(f"{title}: {'; '.join(filter(None, (same, sources, *borrowed[:1])))}.")
        return
    footnotes, star = _footnotes(presets), ""
    # Names are meant to be copied, so they are never truncated.
    columns = [Column("family or task", no_wrap=True, min_width=33)]
    columns += [Column("K" if field == "num_candidates" else field, no_wrap=True) for field in fields]
    if starred := any(preset.tuned for preset in presets):
        columns.append(Column("DROL*"))
        title, star = "Presets of DROL(16), and of DROL*", " DROL*: K tuned per task; --tuned selects it."
    table = Table(*columns, "further", title=title)
    for preset in presets:
        remark = _remark(preset)
        mark = "" if remark is None else f" ({footnotes[remark]})"
        cells = [*(_number(preset.values.get(field)) for field in fields), *([_tuned(preset)] if starred else [])]
        table.add_row(preset.family + mark, *cells, _further(preset))
    console.print(table)
    notes = "".join(f" ({number}) {source}." for source, number in footnotes.items())
    console.print(f"Source: {sources}.{notes}{star}" if sources else f"Sources:{notes}")


def _print_protocol(console: Console, protocol: str, algorithms: Iterable[str]) -> None:
    """The presets of methods in a protocol with chunks, one table each."""
    for algorithm in algorithms:
        presets = tuple(protocol_presets(protocol, algorithm))
        if not presets:
            console.print(f"Protocol {protocol} publishes nothing for {TITLES[algorithm]}.")
            continue
        fields = _published(algorithm).fields
        columns = [Column("family", no_wrap=True, min_width=28), Column("chunk", no_wrap=True)]
        columns += [Column(field, no_wrap=True) for field in fields]
        table = Table(*columns, "further", title=f"{TITLES[algorithm]} in protocol {protocol}")
        for preset in presets:
            mark = " (borrowed)" if preset.mark == "borrowed" else ""
            numbers = (_number(preset.values.get(field)) for field in fields)
            table.add_row(preset.family + mark, str(preset.chunk), *numbers, _further(preset))
        console.print(table)
        console.print(f"Source: {presets[0].source}.")
    console.print(f"Methods in protocol {protocol}: {', '.join(_methods_of(protocol))}.")
    console.print("Scene and puzzles have sparse rewards there: add --sparse-rewards.")


def _methods_of(protocol: str) -> list[str]:
    return [name for name in NAMES if any(protocol_presets(protocol, name))]


def _published(algorithm: str) -> "Published":
    """What is published for a registered algorithm, which always says what to tune."""
    found = published(algorithm)
    assert found is not None
    return found


def _footnotes(presets: Iterable["Preset"]) -> dict[str, int]:
    """The remarks on presets, numbered."""
    remarks = dict.fromkeys(remark for preset in presets if (remark := _remark(preset)) is not None)
    return {remark: number for number, remark in enumerate(remarks, start=1)}


def _remark(preset: "Preset") -> str | None:
    """The source of a marked preset; else what the published runs also had."""
    if preset.mark is not None:
        return preset.source
    return None if preset.beside is None else f"in the published runs {preset.beside}"


def _print_all() -> None:
    """A row per family and a column per method that has something to tune."""
    # A narrower terminal wraps lines: nothing is truncated.
    console, tuned = Console(width=max(Console().width, WIDE)), [name for name in NAMES if _published(name).fields]
    table = Table(
        Column("family or task", no_wrap=True),
        *(Column(TITLES[name], no_wrap=True) for name in tuned),
        title="Published hyperparameters",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for family in [preset.family for preset in _published("fql").presets if preset.mark != "borrowed"]:
        table.add_row(family, *(_compact(_of(family, algorithm)) for algorithm in tuned))
    console.print(table)
    columns = "; ".join(f"{TITLES[name]} {', '.join(_published(name).fields)}" for name in tuned)
    console.print(f"Columns: {columns}. ~: inferred, or hard to read in the source. ?: unknown.")
    console.print(
        "pointmaze and other data of antmaze borrow the values of antmaze-large-navigate (giant: -giant), those of "
        "antsoccer the values of antsoccer-arena-navigate: none are published. BC and flow BC have nothing to tune, "
        "ReFORM has one set for all."
    )
    console.print("Sources and further fields: `drol presets --algorithm NAME`.")


def _of(family: str, algorithm: str) -> "Preset | None":
    return preset_for(family, algorithm) or preset_for(f"{family}-singletask-v0", algorithm)


def _compact(preset: "Preset | None") -> str:
    if preset is None or preset.mark == "unknown":
        return "?"
    numbers = ", ".join(_number(preset.values[field]) for field in _published(preset.algorithm).fields)
    return numbers if preset.mark is None else f"~{numbers}"


def _number(value: int | float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _further(preset: "Preset") -> str:
    """The values that have no column of their own."""
    texts = [_fields({name: v for name, v in preset.values.items() if name not in _published(preset.algorithm).fields})]
    texts += [f"size {size}: {_fields(values)}" for size, values in preset.at_size.items()]
    return "; ".join(filter(None, texts))


def _fields(values: Mapping[str, Any]) -> str:
    words = ((name, " ".join(map(str, v)) if isinstance(v, tuple) else v) for name, v in values.items())
    return ", ".join(f"{name} {value}" for name, value in words)


def _tuned(preset: "Preset") -> str:
    if preset.tuned is None:
        return "-"
    bc_coef, changed = preset.tuned["bc_coef"], preset.tuned["bc_coef"] != preset.values["bc_coef"]
    return f"K {preset.tuned['num_candidates']}" + (f", bc_coef {bc_coef:g}" if changed else "")


def _sizes() -> Table:
    table = Table("size", "hidden", "updates", "on D4RL", "evaluation every", "episodes", title="Sizes")
    for size in SIZES.values():
        numbers = (size.updates, size.d4rl_updates, size.eval_every, size.eval_episodes)
        table.add_row(size.name, " ".join(map(str, size.hidden)), *(f"{n:,}" for n in numbers))
    return table
