"""Groups of gymnasium environments, as a worker process holds them. Imports no JAX."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.environments.spec import EnvironmentSpec
from drol.seeding import reset_seeded

if TYPE_CHECKING:
    import gymnasium


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What one environment answered to one action (or, without reward, to a reset)."""

    observation: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    success: bool | None = None


class EnvironmentGroup:
    """Several environments stepped together, each with random draws of its own.

    Each has its own copy of NumPy's global generator, switched in around every call: OGBench's mazes draw from it, and
    neighbours in one process must not disturb each other.
    """

    def __init__(self, spec: EnvironmentSpec, count: int):
        self._environments = [spec.make() for _ in range(count)]
        self._generators = [np.random.MT19937(0) for _ in range(count)]

    def describe(self) -> dict[str, Any]:
        """Facts for the run's record."""
        env = self._environments[0]
        return {
            "id": env.spec.id if env.spec else None,
            "max_episode_steps": env.spec.max_episode_steps if env.spec else None,
            "success_timing": getattr(env.unwrapped, "_success_timing", None),
            "observation_dim": _width(env.observation_space),
            "action_dim": _width(env.action_space),
            "reference_scores": getattr(env.unwrapped, "reference_scores", None),
        }

    def reset(self, seeds: dict[int, int]) -> dict[int, StepResult]:
        """Start an episode in each named environment."""
        results = {}
        for index, seed in seeds.items():
            _switch_to(self._generators[index])
            observation, _ = reset_seeded(self._environments[index], seed)
            results[index] = StepResult(np.asarray(observation, np.float32))
        return results

    def step(self, actions: dict[int, np.ndarray]) -> dict[int, StepResult]:
        """Take one action in each named environment."""
        results = {}
        for index, action in actions.items():
            _switch_to(self._generators[index])
            observation, reward, terminated, truncated, info = self._environments[index].step(action)
            success = info.get("success", info.get("is_success"))
            results[index] = StepResult(
                np.asarray(observation, np.float32),
                float(reward),
                bool(terminated),
                bool(truncated),
                None if success is None else bool(success),
            )
        return results


def _width(space: "gymnasium.Space") -> int | None:
    import gymnasium

    return int(np.prod(space.shape)) if isinstance(space, gymnasium.spaces.Box) else None


def _switch_to(generator: np.random.MT19937) -> None:
    """Make `generator` the one behind NumPy's global functions."""
    np.random.set_bit_generator(generator)  # pyright: ignore[reportAttributeAccessIssue]  (missing from the stubs)
