"""Tasks, published hyperparameters and sizes of runs."""

import dataclasses
import re
from typing import Any

AUTHORS = "authors' public production commands"
BORROWED = "borrowed from antmaze-large-navigate: no published preset"


@dataclasses.dataclass(frozen=True)
class Preset:
    """One row of the table. `pattern` matches task names; `options` are DROL's fields."""

    family: str
    pattern: str
    bc_coef: float
    num_candidates: int
    tuned_num_candidates: int | None
    options: tuple[tuple[str, Any], ...] = ()
    source: str = AUTHORS

    def hyperparameters(self) -> dict[str, Any]:
        """The fields of DROL(16) that differ from its defaults."""
        return {"bc_coef": self.bc_coef, "num_candidates": self.num_candidates, **dict(self.options)}


def _ogbench(family: str, bc_coef: float, tuned: int | None, source: str = AUTHORS, **options: Any) -> Preset:
    pattern = rf"{family}-singletask(-task\d)?-v0"
    return Preset(family, pattern, bc_coef, 16, tuned, tuple(options.items()), source)


_MAZE = {"discount": 0.995, "q_agg": "min"}

PRESETS = (
    _ogbench("antmaze-giant-navigate", 0.03, 1, **_MAZE),
    _ogbench("antmaze-large-navigate", 0.03, 16, **_MAZE),
    _ogbench("antsoccer-arena-navigate", 0.1, 4, discount=0.995),
    _ogbench("humanoidmaze-medium-navigate", 0.3, 16, discount=0.995),
    _ogbench("humanoidmaze-large-navigate", 0.3, 4, discount=0.995),
    _ogbench("cube-single-play", 10.0, 16),
    _ogbench("cube-double-play", 3.0, 64),
    _ogbench("scene-play", 3.0, 64),
    _ogbench("puzzle-3x3-play", 0.3, 32),
    _ogbench("puzzle-4x4-play", 10.0, 64),
    *(
        _ogbench(f"pointmaze-{size}-{kind}", 0.03, None, BORROWED, **_MAZE)
        for size in ("medium", "large", "giant", "teleport")
        for kind in ("navigate", "stitch")
    ),
)


@dataclasses.dataclass(frozen=True)
class Size:
    """How large the networks are and how long a run is."""

    name: str
    hidden: tuple[int, ...]
    updates: int
    eval_every: int
    eval_episodes: int


SIZES = {
    "laptop": Size("laptop", (256, 256, 256), 45_000, 5_000, 20),
    "paper": Size("paper", (512, 512, 512, 512), 1_000_000, 100_000, 50),
}


def preset_for(task: str) -> Preset | None:
    """The preset of a task, or None where none is published."""
    return next((preset for preset in PRESETS if re.fullmatch(preset.pattern, task)), None)
