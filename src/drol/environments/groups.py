"""Groups of gymnasium environments, held by worker processes. Does not import JAX."""

import contextlib
from typing import Any

import gymnasium
import numpy as np

from drol.environments import interface
from drol.environments.results import StepResult
from drol.environments.spec import EnvironmentSpec
from drol.extras import quiet


class EnvironmentGroup:
    """Several environments stepped together, each with independent random draws.

    Each environment has its own version of NumPy's global generator, which is switched in before every call: OGBench's
    mazes draw from the global generator, and environments in one process must not affect each other.
    """

    def __init__(self, spec: EnvironmentSpec, count: int):
        self._spec = spec
        self._environments = [spec.make() for _ in range(count)]
        self._generators = [np.random.MT19937(0) for _ in range(count)]

    def describe(self) -> dict[str, Any]:
        """Facts about the environment for the run's record."""
        env = self._environments[0]
        limit = env.spec.max_episode_steps if env.spec else None
        return {
            "id": env.spec.id if env.spec else None,
            "max_episode_steps": None if limit is None else int(limit),
            "success_timing": getattr(env.unwrapped, "_success_timing", None),
            "observation_dim": _width(env.observation_space),
            "action_dim": _width(env.action_space),
            "reference_scores": getattr(env.unwrapped, "reference_scores", None),
        }

    def action_space(self) -> str:
        """The environments' action space as text."""
        return str(self._environments[0].action_space)

    def rehearse(self) -> None:
        """Take one step in a separate environment, so that a broken interface is found before any episode.

        Raises:
            InterfaceError: if the environment breaks the interface, saying how.
        """
        _switch_to(np.random.MT19937(0))
        with contextlib.closing(self._spec.make()) as env:
            env.action_space.seed(0)
            _first(env, 0)
            _next(env, env.action_space.sample())

    def repeats(self, steps: int) -> bool:
        """Whether the first steps of an episode are the same again, given its seed and actions.

        Args:
            steps: how many are compared, in a separate environment.

        Raises:
            InterfaceError: if the environment breaks the interface, saying how.
        """
        with contextlib.closing(self._spec.make()) as env:
            env.action_space.seed(0)
            actions = [env.action_space.sample() for _ in range(steps)]
            return _walk(env, actions) == _walk(env, actions)

    def frame_rate(self) -> float | None:
        """How many steps per second look natural, if the environment says so."""
        rate = self._environments[0].metadata.get("render_fps")
        return float(rate) if rate else None

    def rehearse_picture(self) -> None:
        """Render one picture in a separate environment, so that a missing graphics library is found before any episode.

        Raises:
            InterfaceError: if the environment renders no picture, saying what it renders.
        """
        _switch_to(np.random.MT19937(0))
        with contextlib.closing(self._spec.make()) as env:
            _first(env, 0)
            _picture(env)

    def render(self, slots: dict[int, None]) -> dict[int, np.ndarray]:
        """A picture of each named environment, (height, width, 3)."""
        _switch_to(np.random.MT19937(0))  # what rendering draws must not change the episode
        return {index: _picture(self._environments[index]) for index in slots}

    def reset(self, seeds: dict[int, int]) -> dict[int, StepResult]:
        """Start an episode in each named environment."""
        results = {}
        for index, seed in seeds.items():
            _switch_to(self._generators[index])
            results[index] = _first(self._environments[index], seed)
        return results

    def step(self, actions: dict[int, np.ndarray]) -> dict[int, StepResult]:
        """Take one action in each named environment."""
        results = {}
        for index, action in actions.items():
            _switch_to(self._generators[index])
            results[index] = _next(self._environments[index], action)
        return results


def _first(env: gymnasium.Env, seed: int) -> StepResult:
    return StepResult(interface.start(env, seed).astype(np.float32))


def _next(env: gymnasium.Env, action: np.ndarray) -> StepResult:
    observation, reward, terminated, truncated, success = interface.act(env, action)
    return StepResult(observation.astype(np.float32), reward, terminated, truncated, success)


def _walk(env: gymnasium.Env, actions: list[np.ndarray]) -> list[tuple[bytes, bytes, bool, bool]]:
    """What an episode shows bit by bit until it ends, or the actions do."""
    _switch_to(np.random.MT19937(0))
    seen = [_first(env, 0)]
    for action in actions:
        seen.append(_next(env, action))
        if seen[-1].terminated or seen[-1].truncated:
            break
    return [
        (one.observation.tobytes(), np.float64(one.reward).tobytes(), one.terminated, one.truncated) for one in seen
    ]


def _picture(env: gymnasium.Env) -> np.ndarray:
    with quiet():
        picture = env.render()
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[-1] == 3:
        return picture.astype(np.uint8, copy=False)
    found = f"an array of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    modes = ", ".join(map(str, env.metadata.get("render_modes", []))) or "none"
    raise interface.InterfaceError(
        f"{interface.name_of(env)} renders {found}; films need an RGB picture of shape (height, width, 3) in render "
        f"mode 'rgb_array' (its modes: {modes})"
    )


def _width(space: gymnasium.Space) -> int | None:
    return int(np.prod(space.shape)) if isinstance(space, gymnasium.spaces.Box) else None


def _switch_to(generator: np.random.MT19937) -> None:
    """Make `generator` the one behind NumPy's global functions."""
    np.random.set_bit_generator(generator)  # pyright: ignore[reportAttributeAccessIssue]  (missing from the stubs)
