"""The lengths of a run."""

import dataclasses
import math

from drol.seeding import checked_seed


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long and how often. `chunk` updates run in one compiled call.

    Checkpoints kept: the `keep_last` newest, and those at multiples of `keep_every` updates (0: none of these).

    Raises:
        ValueError: if a number is not positive, or chunks do not fit between evaluations.
    """

    seed: int = 0
    updates: int = 45_000
    batch_size: int = 256
    eval_every: int = 5_000
    chunk: int = 500
    keep_last: int = 2
    keep_every: int = 0

    def __post_init__(self):
        for field in ("updates", "batch_size", "eval_every", "keep_last"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, found {getattr(self, field)}")
        if self.keep_every < 0:
            raise ValueError(f"keep_every must not be negative, found {self.keep_every}")
        checked_seed(self.seed)
        if self.chunk < 2 or self.updates % self.chunk or self.eval_every % self.chunk:
            raise ValueError(
                f"updates ({self.updates}) and eval_every ({self.eval_every}) must be multiples of the chunk length "
                f"{self.chunk}, which is fixed for the life of a run and at least 2"
            )

    def check_devices(self, count: int) -> None:
        """Raise if batches cannot be divided among so many devices.

        Raises:
            ValueError: naming both numbers.
        """
        if rest := self.batch_size % count:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be divided among {count} devices ({rest} left over); choose "
                f"another batch size"
            )


def chunk_length(updates: int, eval_every: int, longest: int = 500) -> int:
    """The longest chunk that divides both numbers.

    Raises:
        ValueError: if only 1 does.
    """
    common = math.gcd(updates, eval_every)
    length = max(n for n in range(1, longest + 1) if common % n == 0)
    if length < 2:
        raise ValueError(
            f"updates ({updates}) and eval_every ({eval_every}) need a common divisor of at least 2, by which the run "
            f"is cut into compiled chunks; choose round numbers"
        )
    return length
