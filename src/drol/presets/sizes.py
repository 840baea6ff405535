"""Sizes of networks and runs."""

import dataclasses


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
