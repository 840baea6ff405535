"""Limits on how long an evaluation may take. Does not import JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Any

UNLIMITED_STEPS = 10_000
"""Maximum length of an episode if the environment states no limit of its own."""


@dataclasses.dataclass(frozen=True)
class EvaluationLimits:
    """Limits that end an episode or an evaluation that would not end by itself.

    Attributes:
        steps: maximum length of an episode; a longer one is cut and marked. None for the limit that the environment
            states, or `UNLIMITED_STEPS` if it states none.
        seconds: maximum duration of an evaluation; a longer one is ended and marked as incomplete. None for no limit.
        step_seconds: maximum time in which the environments of one process must step or reset; otherwise they are
            abandoned and the evaluation fails. None for no limit.
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
        """The step limit in the environment with these facts."""
        return self.steps or facts["max_episode_steps"] or UNLIMITED_STEPS


DEFAULT = EvaluationLimits()
