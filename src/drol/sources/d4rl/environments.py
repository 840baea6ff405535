"""D4RL's environments, which use gym and mujoco_py, adapted to gymnasium's interface."""

import contextlib
import functools
import importlib
import importlib.util
import io
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from drol.extras import MissingExtraError, lazy, quiet
from drol.sources.d4rl.tasks import D4RLTask, task

mujoco_env = lazy("gym.envs.mujoco.mujoco_env", "d4rl")


def make(name: str, *, render_mode: str | None = None) -> gymnasium.Env:
    """Build one of D4RL's environments.

    Args:
        name: of the task.
        render_mode: `rgb_array` to render pictures.

    Raises:
        DataError: for an unknown name.
        MissingExtraError: if a part of D4RL is missing or does not work; the message names the part and the remedy.
    """
    known = task(name)
    gym = _import_parts()
    # D4RL silently skips environments whose imports fail.
    if name not in gym.envs.registry.env_specs:
        raise _missing("d4rl", f"did not register {name}; one of the packages it needs is missing or broken")
    try:
        with _silence():
            # Without gym's own time limit, which does not distinguish timeouts from terminations.
            inner = gym.make(name).unwrapped
    except Exception as error:
        raise _missing("d4rl", f"cannot build {name} ({error})") from error
    adapted = ADAPTERS.get(name.partition("-")[0], _BodyEnv)(known, inner)
    adapted.render_mode = render_mode
    return adapted


class D4RLEnv(gymnasium.Env):
    """One of D4RL's environments: float32, fully seeded, silent, with termination and truncation kept apart.

    Two families report `info["success"]`. antmaze: whether the goal has been reached so far in this episode. adroit:
    D4RL's `goal_achieved` at this step. `set_state` restores a recorded simulator state; its arguments are the parts of
    the task's state, named as in D4RL's files.

    Attributes:
        inner: gym's environment, without wrappers.
        reference_scores: the returns that are scored as 0 and as 100.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  (gymnasium declares it so)

    def __init__(self, known: D4RLTask, inner: Any):
        # antmaze and locomotion hide the actual environment in a wrapper that ignores seeds.
        self.inner = getattr(inner, "wrapped_env", inner)
        self.reference_scores = (known.min_score, known.max_score)
        self.spec = EnvSpec(known.name, max_episode_steps=known.max_episode_steps)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, inner.observation_space.shape, np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, inner.action_space.shape, np.float32)
        self._name, self._family, self._limit, self._boxed = known.name, known.family, known.max_episode_steps, inner
        self._steps, self._reached = self._limit, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode.

        Args:
            seed: makes the episode reproducible. antmaze draws its goals from NumPy's global generator, which is
                therefore seeded too.
            options: unused.
        """
        super().reset(seed=seed, options=options)
        self._steps, self._reached = 0, False
        with _silence():
            if seed is not None:
                np.random.seed(seed)
                self.action_space.seed(seed)
                self.inner.seed(seed)
            return np.asarray(self._boxed.reset(), np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take an action; an episode that terminates at the last permitted step is not also truncated."""
        if self._steps >= self._limit:
            raise gymnasium.error.ResetNeeded(f"{self._name}: call reset first, and again after {self._limit} steps")
        self._steps += 1
        observation, reward, terminated, info = self._boxed.step(np.asarray(action))
        info = dict(info)
        if self._family == "antmaze":
            self._reached = self._reached or reward > 0
            info["success"] = self._reached
        elif self._family == "adroit":
            info["success"] = bool(info["goal_achieved"])
        truncated = self._steps >= self._limit and not terminated
        return np.asarray(observation, np.float32), float(reward), bool(terminated), truncated, info

    def render(self) -> np.ndarray | None:
        """A picture by mujoco_py, (height, width, 3); None unless the environment was made to render."""
        if self.render_mode != "rgb_array":
            return None
        with _silence():
            return np.asarray(self.inner.render(mode="rgb_array"), np.uint8)

    def _put(self, qpos: np.ndarray, qvel: np.ndarray, **placed: np.ndarray) -> np.ndarray:
        """Put the simulator into a recorded state, with arguments named as in D4RL's files (`infos/qpos`, ...).

        This does not count as a step and leaves a maze's goal where it is. A step from the restored state gives the
        recorded successor, up to rounding, and its reward, except for locomotion's ant, whose reward also depends on
        where it was before.

        Args:
            qpos, qvel: positions and velocities of all joints.
            placed: the poses of adroit's goals and objects.

        Returns:
            The observation in that state. Adroit's logged observations differ from it by about a hundredth, because
            the simulator had not yet moved the bodies to match the joints when they were logged.
        """
        inner = self.inner
        inner.set_state(np.asarray(qpos, np.float64), np.asarray(qvel, np.float64))
        if placed:
            inner.set_env_state({"qpos": inner.data.qpos.copy(), "qvel": inner.data.qvel.copy(), **placed})
        observe = inner.get_obs if self._family == "adroit" else inner._get_obs
        return np.asarray(observe(), np.float32)


class _BodyEnv(D4RLEnv):
    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """See `D4RLEnv._put`."""
        return self._put(qpos, qvel)


class _PenEnv(D4RLEnv):
    def set_state(self, qpos: np.ndarray, qvel: np.ndarray, desired_orien: np.ndarray) -> np.ndarray:
        """See `D4RLEnv._put`; `desired_orien` is the quaternion of the pen's target orientation."""
        return self._put(qpos, qvel, desired_orien=desired_orien)


class _DoorEnv(D4RLEnv):
    def set_state(self, qpos: np.ndarray, qvel: np.ndarray, door_body_pos: np.ndarray) -> np.ndarray:
        """See `D4RLEnv._put`; `door_body_pos` is the position of the door."""
        return self._put(qpos, qvel, door_body_pos=door_body_pos)


class _HammerEnv(D4RLEnv):
    def set_state(self, qpos: np.ndarray, qvel: np.ndarray, board_pos: np.ndarray) -> np.ndarray:
        """See `D4RLEnv._put`; `board_pos` is the position of the board with the nail."""
        return self._put(qpos, qvel, board_pos=board_pos)


# relocate's state cannot be restored: users of D4RL report that the ball positions in its files contradict their
# observations.
ADAPTERS = {"pen": _PenEnv, "door": _DoorEnv, "hammer": _HammerEnv, "relocate": D4RLEnv}
"""First word of a task's name -> adapter, for tasks whose simulator state is more than positions and velocities."""


@functools.cache
def _import_parts() -> types.ModuleType:
    """Import gym, mujoco_py and d4rl, each set up so that it runs; returns gym."""
    modules = {}
    for package, module in (("gym", "gym"), ("free-mujoco-py", "mujoco_py"), ("d4rl", "d4rl")):
        try:
            # Silenced one by one, because gym installs its own warning filters.
            with _silence(), _kept_library_path():
                if module == "d4rl":
                    _replace_mjrl()
                modules[module] = importlib.import_module(module)
        except ModuleNotFoundError as error:
            absent = "is not installed" if error.name == module else f"needs the missing module {error.name!r}"
            raise _missing(package, absent) from error
        except Exception as error:  # mujoco_py and d4rl raise bare Exceptions
            raise _missing(package, f"does not work ({error})") from error
    return modules["gym"]


def _missing(package: str, trouble: str) -> MissingExtraError:
    return MissingExtraError(
        f"D4RL's environments cannot be used: the package {package} {' '.join(trouble.split())}. "
        f"Install or repair them with: drol install-d4rl"
    )


@contextlib.contextmanager
def _kept_library_path() -> Iterator[None]:
    """Restore LD_LIBRARY_PATH afterwards: mujoco_py's change must not reach processes started later."""
    before = os.environ.get("LD_LIBRARY_PATH")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LD_LIBRARY_PATH", None)
        else:
            os.environ["LD_LIBRARY_PATH"] = before


def _replace_mjrl() -> None:
    """Substitute gym's base class for mjrl's, which d4rl imports but no package index offers."""
    if importlib.util.find_spec("mjrl") is not None:
        return

    class MujocoEnv(mujoco_env.MujocoEnv):
        @property
        def obs_dim(self) -> int:
            return self.observation_space.shape[0]

    names = ("mjrl", "mjrl.envs", "mjrl.envs.mujoco_env")
    mjrl, envs, module = (types.ModuleType(name) for name in names)
    mjrl.__dict__["envs"], envs.__dict__["mujoco_env"] = envs, module
    module.__dict__["MujocoEnv"] = MujocoEnv
    sys.modules |= dict(zip(names, (mjrl, envs, module), strict=True))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress warnings and prints: gym's notice, D4RL's missing extras, antmaze's goal at every reset."""
    with quiet(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
