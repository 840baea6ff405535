"""The seed, lengths and intervals of a run."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from drol.seeding import checked_seed

LAST_EVALUATIONS = 3
"""How many of the last evaluations a run's figure averages, and whose policies are kept."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long a run trains, and how often it evaluates. `updates_per_call` of them run in one compiled call.

    Checkpoints kept: the `keep_last` newest, and those at multiples of `keep_every` updates (0: none of these).

    A run that continues another one begins at update `start`: `updates` includes those before, and evaluations are
    counted from there.

    Raises:
        ValueError: if a number is not positive, or calls do not fit between evaluations.
    """

    seed: int = 0
    updates: int = 45_000
    batch_size: int = 256
    eval_every: int = 5_000
    updates_per_call: int = 500
    keep_last: int = 2
    keep_every: int = 0
    start: int = 0

    def __post_init__(self):
        for field in ("updates", "batch_size", "eval_every", "keep_last"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, found {getattr(self, field)}")
        if self.keep_every < 0:
            raise ValueError(f"keep_every must not be negative, found {self.keep_every}")
        checked_seed(self.seed)
        length = self.updates_per_call
        if length < 2 or (self.updates - self.start) % length or self.eval_every % length:
            raise ValueError(
                f"updates ({self.updates}) and eval_every ({self.eval_every}) must be multiples of the {length} "
                f"updates that run in one compiled call, a number that is fixed for the life of a run and at least 2"
            )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Settings":
        """The settings that config.json holds.

        Raises:
            TypeError, ValueError: if they are not settings.
        """
        return cls(**{"updates_per_call" if name == LENGTH else name: value for name, value in record.items()})

    def check_devices(self, count: int) -> None:
        """Raise if batches cannot be divided among this many devices.

        Raises:
            ValueError: naming both numbers.
        """
        if rest := self.batch_size % count:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be divided among {count} devices ({rest} left over); choose "
                f"another batch size"
            )


LENGTH = "chunk"
"""What config.json calls `updates_per_call`: the name is older than chunks of actions."""

LONGEST = 500
"""The most updates in one compiled call."""

SHORT = 50
"""Runs with shorter calls spend much of their time between them."""


def call_length(updates: int, eval_every: int) -> int:
    """The most updates of one compiled call that divide both numbers.

    Raises:
        ValueError: if only 1 does; the message names the nearest possible numbers.
    """
    length = _longest_divisor(math.gcd(updates, eval_every))
    if length < 2:
        raise ValueError(
            f"{_planned(updates, eval_every)} cannot be cut into equal compiled calls of 2 to {LONGEST} updates; "
            f"the nearest alternatives: {_nearest(updates, eval_every)}"
        )
    return length


def slowed(updates: int, eval_every: int, length: int) -> str | None:
    """A note on numbers that allow only short calls while others near them allow long ones; None otherwise."""
    if length >= min(SHORT, updates, eval_every):
        return None
    return (
        f"{_planned(updates, eval_every)} is trained in compiled calls of {length} updates, which are slower than long "
        f"ones; the nearest alternatives: {_nearest(updates, eval_every)}"
    )


def _planned(updates: int, eval_every: int) -> str:
    return f"a run of {updates} updates with an evaluation every {eval_every}"


def _nearest(updates: int, eval_every: int) -> str:
    """Nearby numbers that allow long calls, in words: one of the two changed if that helps, else both."""
    others = []
    length = _longest_divisor(eval_every)
    if length >= max(2, min(SHORT, eval_every)):
        others.append(f"{' or '.join(map(str, _multiples(updates, length)))} updates")
    length = _longest_divisor(updates)
    if length >= max(2, min(SHORT, updates)):
        others.append(f"an evaluation every {_multiple(min(eval_every, updates), length)}")
    if not others:
        every = _multiple(eval_every, SHORT if eval_every >= SHORT else 2)
        updates = _multiple(updates, _longest_divisor(every))
        others.append(f"{updates} updates with an evaluation every {every}")
    return ", or ".join(others)


def _multiples(number: int, factor: int) -> list[int]:
    """The positive multiples of a factor just below and above a number that is not one itself."""
    below = number // factor * factor
    return [below, below + factor] if below else [factor]


def _multiple(number: int, factor: int) -> int:
    """The positive multiple of a factor nearest to a number."""
    return max(1, (2 * number + factor) // (2 * factor)) * factor


def _longest_divisor(number: int) -> int:
    return max(length for length in range(1, LONGEST + 1) if number % length == 0)
