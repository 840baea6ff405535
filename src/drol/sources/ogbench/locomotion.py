"""OGBench's environments for training its experts, made as its training script makes them. Does not import JAX."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
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
    # Its constructor moves the camera of its renderer, and so needs one; workers have none unless they are to film.
    if os.environ.get("MUJOCO_GL", "disable") == "disable":
        os.environ["MUJOCO_GL"] = "egl"
    try:
        with _own_temporary_files():
            env = gymnasium.make("online-antball-v0", **({"render_mode": "rgb_array"} | options))  # pyright: ignore[reportArgumentType]
    except Exception as error:
        raise DataError(
            f"online-antball needs OpenGL, because OGBench renders it while it is made, and "
            f"MUJOCO_GL={os.environ['MUJOCO_GL']} failed here ({type(error).__name__}: {error}); install libegl1 or a "
            f"graphics driver"
        ) from None
    return EndsAtTheTimeLimit(env)


@contextlib.contextmanager
def _own_temporary_files() -> Iterator[None]:
    """OGBench leaves a temporary model file behind: let it be in a folder that is removed."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="drol-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
