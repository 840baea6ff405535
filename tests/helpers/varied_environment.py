"""Environments of every shape, right and wrong, for tests."""

import time
from collections import namedtuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text, Tuple

LONG = Box(-9, 9, (6,))


class Varied(gymnasium.Env):
    """Six numbers to see, two to do; `case` names what is special about it."""

    def __init__(self, case: str):
        self._case, self._given = case, CASES[case]
        self.observation_space = getattr(self._given, "space", LONG)
        self.action_space = getattr(self._given, "actions", Box(-1, 1, (2,)))
        self.seen: list = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._time = 0
        return self._observation(), {}

    def _observation(self):
        return getattr(self._given, "observe", lambda time: np.arange(6.0) + time)(self._time)

    def step(self, action):
        self.seen.append(action)
        self._time += 1
        getattr(self._given, "take", lambda action: None)(action)
        answer = (self._observation(), 1.0, False, self._time >= 4, {})
        return getattr(self._given, "answer", lambda answer, time: answer)(answer, self._time)


class NoSeed(Varied):
    """The interface before seeds were arguments."""

    def reset(self):
        return super().reset()[0]


class NoInfo(Varied):
    """Its reset gives an observation alone."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class Endless(Varied):
    """States no limit of steps, and does not end."""

    def step(self, action):
        return *super().step(action)[:3], False, {}


class Case:
    """What is special: space, actions, observe(time), take(action), answer(answer, time)."""

    def __init__(self, **given):
        self.__dict__.update(given)


def replaced(**entries):
    """Another answer to a step: entries by their position."""
    names = ("observation", "reward", "terminated", "truncated", "info")
    Answer = namedtuple("Answer", names)
    return lambda answer, time: tuple(Answer(*answer)._replace(**entries))


def sleeping(seconds):
    def answer(answer, time_):
        time.sleep(seconds)
        return answer

    return answer


def matrix(time):
    return np.arange(6.0).reshape(2, 3) + time


def demand(shape, dtype):
    def take(action):
        assert action.shape == shape, action.shape
        assert action.dtype == dtype, action.dtype

    return take


NESTED = Dict({"b": Tuple((Box(-9, 9, (2, 1)), Discrete(3))), "a": Box(-9, 9, (3,))})

CASES = {
    "plain": Case(),
    "matrix": Case(space=Box(-9, 9, (2, 3)), observe=matrix),
    "column": Case(space=Box(-9, 9, (6, 1)), observe=lambda t: np.arange(6.0)[:, None] + t),
    "nested": Case(
        space=NESTED,
        observe=lambda t: {"a": np.arange(3.0) + t, "b": (np.array([[3.0], [4.0]]) + t, np.int64(min(t, 2)))},
    ),
    "lists": Case(observe=lambda t: [float(i + t) for i in range(6)]),
    "scalar": Case(space=Box(-9, 9, ()), observe=lambda t: float(t)),
    "category": Case(space=Discrete(9), observe=lambda t: t),
    "half": Case(space=Box(-9, 9, (6,), np.float16), observe=lambda t: np.arange(6, dtype=np.float16) + t),
    "whole": Case(space=Box(-9, 9, (6,), np.int64), observe=lambda t: np.arange(6) + t),
    "unbounded": Case(space=Box(-np.inf, np.inf, (6,), np.float64)),
    "action-column": Case(actions=Box(-1, 1, (2, 1)), take=demand((2, 1), np.float32)),
    "action-scalar": Case(actions=Box(-1, 1, ()), take=demand((), np.float32)),
    "action-double": Case(actions=Box(-0.1, 0.1, (2,), np.float64), take=demand((2,), np.float64)),
    "action-whole": Case(actions=Box(-3, 3, (2, 1), np.int32), take=demand((2, 1), np.int32)),
    "action-discrete": Case(actions=Discrete(3)),
    "action-several": Case(actions=MultiDiscrete([3, 2])),
    "reward-array": Case(answer=replaced(reward=np.array([1.0]))),
    "reward-matrix": Case(answer=replaced(reward=np.array([[1.0]], np.float32))),
    "reward-scalar-array": Case(answer=replaced(reward=np.array(1))),
    "reward-vector": Case(answer=replaced(reward=np.array([1.0, 2.0]))),
    "reward-none": Case(answer=replaced(reward=None)),
    "reward-nan": Case(answer=lambda a, t: (a[0], np.nan if t == 2 else 1.0, *a[2:])),
    "observation-nan": Case(observe=lambda t: np.full(6, np.nan if t == 2 else 1.0)),
    "flag-arrays": Case(answer=lambda a, t: (*a[:2], np.array([t == 3]), np.array([False]), {})),
    "flag-vector": Case(answer=replaced(terminated=np.array([False, True]))),
    "success-vector": Case(answer=lambda a, t: (*a[:4], {"success": np.array([1.0, float(t == 4)])})),
    "success-partial": Case(answer=replaced(info={"is_success": np.array([True, False])})),
    "success-array": Case(answer=replaced(info={"success": np.array([1.0])})),
    "success-scalar-array": Case(answer=replaced(info={"success": np.array(True)})),
    "success-numpy": Case(answer=replaced(info={"success": np.bool_(False)})),
    "success-none": Case(answer=replaced(info={"success": None, "is_success": 1})),
    "success-nan": Case(answer=replaced(info={"success": np.nan})),
    "success-text": Case(answer=replaced(info={"success": "False"})),
    "info-none": Case(answer=replaced(info=None)),
    "image": Case(space=Box(0, 255, (8, 8, 3), np.uint8), observe=lambda t: np.zeros((8, 8, 3), np.uint8)),
    "nested-image": Case(space=Dict({"camera": Box(0, 255, (8, 8), np.uint8), "arm": LONG})),
    "text": Case(space=Text(5)),
    "empty": Case(space=Box(-1, 1, (0,)), observe=lambda t: np.zeros(0)),
    "other-shape": Case(observe=lambda t: np.zeros(5)),
    "transposed": Case(space=Box(-9, 9, (2, 3)), observe=lambda t: np.zeros((3, 2))),
    "other-keys": Case(space=NESTED, observe=lambda t: {"a": np.zeros(3)}),
    "ragged": Case(observe=lambda t: [[1.0, 2.0], [3.0]]),
    "four": Case(answer=lambda a, t: (*a[:3], a[4])),
    "hanging": Case(answer=sleeping(600)),
    "slow": Case(answer=sleeping(0.05)),
}

for case in CASES:
    for name, entry_point in {"": Varied, "NoSeed": NoSeed, "NoInfo": NoInfo, "Endless": Endless}.items():
        limit = 4 if entry_point is Varied else None
        gymnasium.register(f"Varied{name}-{case}-v0", entry_point, max_episode_steps=limit, kwargs={"case": case})
