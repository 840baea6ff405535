"""`drol presets`: list tasks, hyperparameters and sizes."""

import argparse


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """The command has no options."""


def run(parsed: argparse.Namespace) -> int:
    """Print the tables."""
    from drol.extras import require

    require("rich", "train")
    from rich.console import Console
    from rich.table import Table

    from drol.presets import AUTHORS, BORROWED, PRESETS, SIZES

    console = Console()
    table = Table("family", "bc_coef", "K", "K of DROL*", "further", title="Presets of DROL(16)")
    for preset in PRESETS:
        further = ", ".join(f"{name} {value}" for name, value in preset.options)
        tuned = "-" if preset.tuned_num_candidates is None else str(preset.tuned_num_candidates)
        mark = "" if preset.source == AUTHORS else " (1)"
        table.add_row(preset.family + mark, f"{preset.bc_coef:g}", str(preset.num_candidates), tuned, further)
    console.print(table)
    console.print(f"Source: {AUTHORS}. (1) {BORROWED}.")
    console.print("A task is FAMILY-singletask-taskN-v0 with N from 1 to 5 (FAMILY-singletask-v0: the default task).")
    console.print("Without a preset DROL's defaults apply: tune --bc-coef first, from 0.03 to 10, with K = 16.")
    sizes = Table("size", "hidden", "updates", "evaluation every", "episodes", title="Sizes")
    for size in SIZES.values():
        numbers = (size.updates, size.eval_every, size.eval_episodes)
        sizes.add_row(size.name, " ".join(map(str, size.hidden)), *(f"{n:,}" for n in numbers))
    console.print(sizes)
    return 0
