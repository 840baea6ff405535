"""Tasks, published hyperparameters and sizes of runs."""

import dataclasses
import re
from typing import Any

AUTHORS = "authors' public production commands"
BORROWED = "borrowed from antmaze-large-navigate: no published preset"

ADVICE = "tune --bc-coef first, from 0.03 to 10, with K = 16"
"""For tasks without a preset."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """One row of the table: DROL(16), and DROL*, whose K (and once bc_coef) was tuned per task.

    Attributes:
        family: what it is called.
        pattern: matches the names of its tasks.
        bc_coef, num_candidates: of DROL(16).
        tuned: (bc_coef, K) of DROL*; None where none is published.
        options: further fields of DROL, the same for both.
        source: where the numbers come from.
    """

    family: str
    pattern: str
    bc_coef: float
    num_candidates: int
    tuned: tuple[float, int] | None
    options: tuple[tuple[str, Any], ...] = ()
    source: str = AUTHORS

    def hyperparameters(self, *, tuned: bool = False) -> dict[str, Any]:
        """The fields of DROL(16), or of DROL*, that differ from its defaults.

        Raises:
            ValueError: if DROL* is asked for and not published.
        """
        if tuned and self.tuned is None:
            raise ValueError(f"no DROL* is published for {self.family}; leave --tuned out, or name --num-candidates")
        bc_coef, num_candidates = self.tuned if tuned and self.tuned else (self.bc_coef, self.num_candidates)
        return {"bc_coef": bc_coef, "num_candidates": num_candidates, **dict(self.options)}


def _ogbench(family: str, bc_coef: float, tuned: int | None, source: str = AUTHORS, **options: Any) -> Preset:
    pattern = rf"{family}-singletask(-task\d)?-v0"
    star = None if tuned is None else (bc_coef, tuned)
    return Preset(family, pattern, bc_coef, 16, star, tuple(options.items()), source)


def _d4rl(family: str, pattern: str, bc_coef: float, tuned: tuple[float, int], **options: Any) -> Preset:
    return Preset(family, pattern, bc_coef, 16, tuned, tuple(options.items()))


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
    *(
        _d4rl(name, name, bc_coef, tuned)
        for name, bc_coef, tuned in (
            ("antmaze-umaze-v2", 0.3, (0.3, 2)),
            ("antmaze-umaze-diverse-v2", 0.1, (0.1, 16)),
            ("antmaze-medium-play-v2", 0.1, (0.1, 32)),
            ("antmaze-medium-diverse-v2", 0.1, (0.1, 16)),
            ("antmaze-large-play-v2", 0.1, (0.03, 16)),
            ("antmaze-large-diverse-v2", 0.1, (0.03, 16)),
        )
    ),
    *(
        _d4rl(f"{hand}-{{human,cloned,expert}}-v1", rf"{hand}-(human|cloned|expert)-v1", bc_coef, tuned, q_agg="min")
        for hand, bc_coef, tuned in (
            ("pen", 1.0, (1.0, 16)),
            ("door", 10.0, (10.0, 8)),
            ("hammer", 3.0, (3.0, 8)),
            ("relocate", 10.0, (10.0, 32)),
        )
    ),
)


@dataclasses.dataclass(frozen=True)
class Size:
    """How large the networks are and how long a run is: `updates`, or `d4rl_updates` on D4RL's tasks."""

    name: str
    hidden: tuple[int, ...]
    updates: int
    d4rl_updates: int
    eval_every: int
    eval_episodes: int


SIZES = {
    "laptop": Size("laptop", (256, 256, 256), 45_000, 45_000, 5_000, 20),
    "paper": Size("paper", (512, 512, 512, 512), 1_000_000, 500_000, 100_000, 50),
}


def preset_for(task: str) -> Preset | None:
    """The preset of a task, or None where none is published."""
    return next((preset for preset in PRESETS if re.fullmatch(preset.pattern, task)), None)
