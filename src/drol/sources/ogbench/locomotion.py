"""OGBench's environments for training its experts, made as its training script makes them. Does not import JAX."""

import os
import tempfile
from typing import Any, SupportsFloat

import gymnasium
import ogbench.online_locomotion  # noqa: F401  (registers the environments)
from ogbench.online_locomotion.wrappers import GymXYWrapper

from drol.errors import DataError


class EndsAtTheTimeLimit(gymnasium.Wrapper):
    """Reports the time limit as a true end, after which nothing more is earned."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """A step of the environment inside."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or truncated, False, info


def make(name: str, **options: Any) -> gymnasium.Env:
    """`online-ant`, with a direction to follow in its observation, or `online-antball`.

    The ant's reward is the distance in metres that it covers in the direction at hand, a new one every 100 steps. The
    ball's is ten times what ant and ball approach, 2.5 times what ball and goal do; its time limit is a true end.

    Raises:
        DataError: if the environment of the ball cannot be made without a graphics library.
    """
    if name == "online-ant":
        return GymXYWrapper(gymnasium.make("online-ant-v0", **options))
    # Its constructor moves the camera of its renderer, and so needs one.
    os.environ["MUJOCO_GL"] = os.environ.get("DROL_MUJOCO_GL", "egl")
    before = set(os.listdir(tempfile.gettempdir()))
    try:
        env = gymnasium.make("online-antball-v0", **({"render_mode": "rgb_array"} | options))  # pyright: ignore[reportArgumentType]
    except Exception as error:
        raise DataError(
            f"online-antball needs OpenGL, because OGBench renders it while it is made, and EGL failed here "
            f"({type(error).__name__}: {error}); install libegl1 or a graphics driver"
        ) from None
    finally:
        _tidy(before)
    return EndsAtTheTimeLimit(env)


def _tidy(before: set[str]) -> None:
    """Remove the temporary model files that OGBench leaves behind."""
    folder = tempfile.gettempdir()
    for name in set(os.listdir(folder)) - before:
        if name.endswith(".xml"):
            os.remove(os.path.join(folder, name))
