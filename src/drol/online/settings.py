"""How long an online run goes on, and how acting and learning alternate."""

import dataclasses
import math
from typing import Literal, get_args

Explored = Literal["policy", "random"]
EXPLORED: tuple[str, ...] = get_args(Explored)


@dataclasses.dataclass(frozen=True)
class OnlineSettings:
    """The rhythm of an online run: `block` steps in each of `environments`, then the updates that belong to them.

    Attributes:
        steps: of all environments together.
        environments: how many act side by side.
        block: steps of each environment under one policy.
        updates_per_step: updates for each step; the published update-to-data ratio.
        warm_up: steps before the first update.
        warm_up_by: who acts until then: the policy as it is, or uniformly random actions.
        prior_share: the share of each batch that is drawn from the data that were there before; None: all transitions
            are drawn alike.

    Raises:
        ValueError: if a number is out of range, or steps and updates cannot be divided into equal blocks.
    """

    steps: int
    environments: int = 1
    block: int = 50
    updates_per_step: float = 1.0
    warm_up: int = 5_000
    warm_up_by: Explored = "policy"
    prior_share: float | None = None

    def __post_init__(self):
        for name in ("steps", "environments"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.block < 2:
            raise ValueError(f"block must be at least 2, found {self.block}")
        if self.warm_up < 0 or self.warm_up_by not in EXPLORED:
            raise ValueError(
                f"warm_up must not be negative and warm_up_by one of {', '.join(EXPLORED)}, found {self.warm_up} and "
                f"{self.warm_up_by!r}"
            )
        if self.prior_share is not None and not 0 < self.prior_share < 1:
            raise ValueError(f"prior_share must lie between 0 and 1, found {self.prior_share:g}")
        for name in ("steps", "warm_up"):
            if rest := getattr(self, name) % self.rows:
                raise ValueError(
                    f"{name} ({getattr(self, name)}) must be a multiple of the {self.rows} steps of a block "
                    f"({self.environments} environments, {self.block} steps each); {rest} are left over"
                )
        updates = self.rows * self.updates_per_step
        if not self.updates_per_step > 0 or not math.isclose(updates, round(updates), abs_tol=1e-9):
            raise ValueError(
                f"the {self.rows} steps of a block must make a whole number of updates, found {updates:g} at "
                f"{self.updates_per_step:g} per step"
            )

    @property
    def rows(self) -> int:
        """The steps of a block, of all environments together."""
        return self.environments * self.block

    @property
    def updates_per_block(self) -> int:
        """The updates that follow a block."""
        return round(self.rows * self.updates_per_step)

    @property
    def updates(self) -> int:
        """All updates of the run."""
        return max(self.steps - self.warm_up, 0) // self.rows * self.updates_per_block

    def steps_at(self, updates: int) -> int:
        """The steps after which so many updates were done; 0 before the first one."""
        return 0 if updates == 0 else self.warm_up + updates // self.updates_per_block * self.rows

    def prior_rows(self, batch_size: int) -> int | None:
        """How many rows of a batch are drawn from the prior data.

        Raises:
            ValueError: if that is none or all of them.
        """
        if self.prior_share is None:
            return None
        rows = round(batch_size * self.prior_share)
        if not 0 < rows < batch_size:
            raise ValueError(f"a share of {self.prior_share:g} of {batch_size} rows is {rows}; choose another")
        return rows
