"""D4RL's own environments, of gym and mujoco_py, behind gymnasium's interface."""

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


def make(name: str) -> gymnasium.Env:
    """Build one of D4RL's environments.

    Raises:
        DataError: for an unknown name.
        MissingExtraError: if a part of D4RL is absent or does not work; it names the part and the remedy.
    """
    known = task(name)
    gym = _import_parts()
    # D4RL passes over the environments whose imports failed.
    if name not in gym.envs.registry.env_specs:
        raise _missing("d4rl", f"did not register {name}; one of the packages it needs is absent or broken")
    try:
        with _silence():
            # Without gym's own time limit, which calls a time-out and a true end the same.
            inner = gym.make(name).unwrapped
    except Exception as error:
        raise _missing("d4rl", f"cannot build {name} ({error})") from error
    return ADAPTERS.get(name.partition("-")[0], _BodyEnv)(known, inner)


class D4RLEnv(gymnasium.Env):
    """One of D4RL's environments: float32, seeded throughout, silent, ends and time-outs apart.

    `info["success"]` is there for two families. antmaze: the goal was reached in this episode so far. adroit: D4RL's
    `goal_achieved` of this step. `set_state` puts recorded simulator states back; its arguments are those that the
    task's state consists of, by the names of D4RL's files.

    Attributes:
        inner: gym's environment, without wrappers.
        reference_scores: the returns that count as 0 and as 100.
    """

    def __init__(self, known: D4RLTask, inner: Any):
        # antmaze and locomotion hide the environment proper in a box that swallows seeds.
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
            seed: makes it reproducible. antmaze draws its goals from NumPy's global generator, so that is seeded too.
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
        """Take an action; an episode that truly ends at the last step is terminated, not truncated."""
        if self._steps >= self._limit:
            raise gymnasium.error.ResetNeeded(f"{self._name}: call reset first, and after {self._limit} steps")
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

    def _put(self, qpos: np.ndarray, qvel: np.ndarray, **placed: np.ndarray) -> np.ndarray:
        """Put the simulator into a recorded state, by the names of D4RL's files (`infos/qpos`, ...).

        Counts as no step, and leaves the goal of a maze where it is. A step from there gives the recorded successor but
        for rounding, and its reward; only the ant of locomotion is rewarded by where it was before, too.

        Args:
            qpos, qvel: positions and velocities of all joints.
            placed: where adroit's goals and objects are.

        Returns:
            The observation there. Adroit's logged ones differ by about a hundredth: its simulator had not yet moved the
            bodies to where the joints were.
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
        """See `D4RLEnv._put`; the quaternion of the pen wished for."""
        return self._put(qpos, qvel, desired_orien=desired_orien)


class _DoorEnv(D4RLEnv):
    def set_state(self, qpos: np.ndarray, qvel: np.ndarray, door_body_pos: np.ndarray) -> np.ndarray:
        """See `D4RLEnv._put`; where the door stands."""
        return self._put(qpos, qvel, door_body_pos=door_body_pos)


class _HammerEnv(D4RLEnv):
    def set_state(self, qpos: np.ndarray, qvel: np.ndarray, board_pos: np.ndarray) -> np.ndarray:
        """See `D4RLEnv._put`; where the board with the nail is."""
        return self._put(qpos, qvel, board_pos=board_pos)


# relocate cannot be set: where its files say the ball is does not fit their observations, as D4RL's users report.
ADAPTERS = {"pen": _PenEnv, "door": _DoorEnv, "hammer": _HammerEnv, "relocate": D4RLEnv}
"""By the first word of a task's name, for those whose simulator state is more than positions and velocities."""


@functools.cache
def _import_parts() -> types.ModuleType:
    """Import gym, which is returned, mujoco_py and d4rl, each with what it needs to run."""
    modules = {}
    for package, module in (("gym", "gym"), ("free-mujoco-py", "mujoco_py"), ("d4rl", "d4rl")):
        try:
            # One by one: gym sets filters for warnings of its own.
            with _silence(), _kept_library_path():
                if module == "d4rl":
                    _replace_mjrl()
                modules[module] = importlib.import_module(module)
        except ModuleNotFoundError as error:
            absent = "is not installed" if error.name == module else f"lacks the module {error.name!r}"
            raise _missing(package, absent) from error
        except Exception as error:  # mujoco_py and d4rl raise bare Exceptions
            raise _missing(package, f"does not work ({error})") from error
    return modules["gym"]


def _missing(package: str, trouble: str) -> MissingExtraError:
    return MissingExtraError(
        f"D4RL's environments cannot be used: the package {package} {' '.join(trouble.split())}. "
        f"Install them, or mend them, with: drol install-d4rl"
    )


@contextlib.contextmanager
def _kept_library_path() -> Iterator[None]:
    """mujoco_py points LD_LIBRARY_PATH to its own libraries: not for processes started later."""
    before = os.environ.get("LD_LIBRARY_PATH")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LD_LIBRARY_PATH", None)
        else:
            os.environ["LD_LIBRARY_PATH"] = before


def _replace_mjrl() -> None:
    """Put gym's base class in the place of mjrl's, which d4rl imports and no registry offers."""
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
    """No warnings and no prints: gym's notice, D4RL's absent extras, antmaze's goal at every reset."""
    with quiet(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
