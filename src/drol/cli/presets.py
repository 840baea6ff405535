"""`drol presets`: list tasks, hyperparameters and sizes."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drol.presets import Preset


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """The command has no options."""


def run(parsed: argparse.Namespace) -> int:
    """Print the tables."""
    from drol.extras import require

    require("rich", "train")
    from rich.console import Console
    from rich.table import Column, Table

    from drol.presets import ADVICE, AUTHORS, BORROWED, PRESETS, SIZES

    console = Console()
    # Names are for copying: they are never cut short.
    family = Column("family or task", no_wrap=True, min_width=33)
    table = Table(family, "bc_coef", "K", "DROL*", "further", title="Presets of DROL(16), and of DROL*")
    for preset in PRESETS:
        further = ", ".join(f"{name} {value}" for name, value in preset.options)
        mark = "" if preset.source == AUTHORS else " (1)"
        table.add_row(preset.family + mark, f"{preset.bc_coef:g}", str(preset.num_candidates), _tuned(preset), further)
    console.print(table)
    console.print(f"Source: {AUTHORS}. (1) {BORROWED}. DROL*: K tuned per task; --tuned takes it.")
    console.print("OGBench tasks are FAMILY-singletask-taskN-v0 with N from 1 to 5.")
    console.print(f"Without a preset DROL's defaults apply: {ADVICE}.")
    sizes = Table("size", "hidden", "updates", "on D4RL", "evaluation every", "episodes", title="Sizes")
    for size in SIZES.values():
        numbers = (size.updates, size.d4rl_updates, size.eval_every, size.eval_episodes)
        sizes.add_row(size.name, " ".join(map(str, size.hidden)), *(f"{n:,}" for n in numbers))
    console.print(sizes)
    return 0


def _tuned(preset: "Preset") -> str:
    if preset.tuned is None:
        return "-"
    bc_coef, num_candidates = preset.tuned
    return f"K {num_candidates}" + ("" if bc_coef == preset.bc_coef else f", bc_coef {bc_coef:g}")
