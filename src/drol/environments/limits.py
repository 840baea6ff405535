"""How long an evaluation may take. Imports no JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Any

UNLIMITED_STEPS = 10_000
"""Steps of an episode whose environment states no limit of its own."""


@dataclasses.dataclass(frozen=True)
class EvaluationLimits:
    """What ends an episode or an evaluation that would not end by itself.

    Attributes:
        steps: of an episode, which is cut there and marked; None for the limit that the environment states, or
            `UNLIMITED_STEPS` where it states none.
        seconds: of an evaluation, which ends there, marked as incomplete; None for no limit.
        step_seconds: for the environments of one process to take a step or to reset; if they take longer, they are
            given up and the evaluation fails; None for no limit.
    """

    steps: int | None = None
    seconds: float | None = 3600.0
    step_seconds: float | None = 60.0

    def __post_init__(self):
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, found {self.steps}")
        for name in ("seconds", "step_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, found {value}")

    def steps_in(self, facts: Mapping[str, Any]) -> int:
        """The limit of steps in an environment that describes itself so."""
        return self.steps or facts["max_episode_steps"] or UNLIMITED_STEPS


DEFAULT = EvaluationLimits()
