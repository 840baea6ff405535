"""Episodes of trained ants in OGBench's mazes and with its ball, for worker processes. Does not import JAX.

The rules are those of OGBench's own scripts (seohongpark/ogbench: data_gen_scripts), flipped ants included: they stay
in the data until the time limit.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from drol.seeding import reset_seeded
from drol.sources.ogbench.mazes import Cell, Guide, cells_at_distance, maze_cells
from drol.sources.ogbench.recording import Episode, Recorder, own_draws

Place = np.ndarray | tuple[float, float]
"""(x, y) in metres."""

Moves = Callable[[np.ndarray], np.ndarray]
"""An action for what is observed; see `drol.sources.ogbench.actors.Actor`."""

NOISE = {"navigate": 0.2, "stitch": 0.2, "explore": 1.0}
"""Standard deviation of the noise on each number of an action."""

STITCH_DISTANCE = 4
EXPLORED_STEPS = 10
"""Steps in one direction, of ants that explore."""

NEAR_BALL = 2.0
"""An ant that is nearer to the ball than this pushes it; otherwise it walks there."""

GOAL_RANGE = 10.0
"""The farthest goal from the ball that its expert was trained on."""

STUCK_STEPS, STUCK_RANGE, FREED_RANGE = 150, 2.0, 0.5
"""An ant is stuck if it was within STUCK_RANGE for so many steps; then it walks to within FREED_RANGE of a cell."""


class AntRecorder:
    """An environment with an ant, and the actors that move it."""

    def __init__(self, env: gymnasium.Env, kind: str, ant: Moves, ball: Moves | None = None):
        self._env, self._kind, self._ant, self._ball = env, kind, ant, ball
        self._maze: Any = env.unwrapped
        self._guide = Guide(self._maze.maze_map)
        self._free, self._junctions = maze_cells(self._maze.maze_map)

    def episode(self, seed: int) -> Episode:
        """One episode, which depends on the seed alone."""
        draws = own_draws(seed)
        return self._in_a_maze(seed, draws) if self._ball is None else self._with_ball(seed, draws)

    def _in_a_maze(self, seed: int, draws: np.random.Generator) -> Episode:
        start = self._free[draws.integers(len(self._free))]
        goals = self._junctions
        if self._kind == "stitch":
            goals = cells_at_distance(self._maze.maze_map, start, STITCH_DISTANCE) or [start]
        goal = goals[draws.integers(len(goals))]
        observation, _ = reset_seeded(self._env, seed, {"task_info": {"init_ij": start, "goal_ij": goal}})
        recorder, step, done, direction = Recorder(), 0, False, np.zeros(2)
        while not done:
            if self._kind == "explore":
                if step % EXPLORED_STEPS == 0:
                    direction = _unit(draws.normal(size=2))
            else:
                direction = self._way(self._maze.get_xy(), self._maze.cur_goal_xy)
            observation, done, success = self._act(recorder, observation, self._walk(direction), draws)
            if success and self._kind == "navigate":
                self._renew(self._junctions, draws)
            step += 1
        return recorder.episode()

    def _with_ball(self, seed: int, draws: np.random.Generator) -> Episode:
        free, stitch = self._free, self._kind == "stitch"
        cells = [free[i] for i in draws.choice(len(free), 3, replace=False)]
        pushes = bool(draws.random() < 0.5) if stitch else None
        if pushes:
            cells[1] = cells[0]
        names = ("agent_init_ij", "ball_init_ij", "goal_ij")
        observation, _ = reset_seeded(self._env, seed, {"task_info": dict(zip(names, cells, strict=True))})
        recorder, done, detour = Recorder(), False, None
        passed: list[np.ndarray] = []
        while not done:
            ant, ball = self._maze.get_agent_ball_xy()
            passed.append(ant)
            if not stitch:
                detour = self._detour(detour, passed, draws)
            if detour is not None:
                action = self._walk(self._way(ant, detour))
            elif pushes if stitch else np.linalg.norm(ant - ball) <= NEAR_BALL:
                action = self._push(ant, ball)
            else:
                action = self._walk(self._way(ant, self._maze.cur_goal_xy if stitch else ball))
            observation, done, success = self._act(recorder, observation, action, draws)
            if success and not stitch:
                self._renew(free, draws)
        return recorder.episode()

    def _detour(self, detour: np.ndarray | None, passed: list[np.ndarray], draws: np.random.Generator):
        """Where a stuck ant walks, until it is there; None for one that is not stuck."""
        if detour is not None:
            return None if np.linalg.norm(passed[-1] - detour) <= FREED_RANGE else detour
        recent = np.array(passed[-STUCK_STEPS:])
        if len(passed) <= STUCK_STEPS or (np.linalg.norm(recent - passed[-1], axis=-1) > STUCK_RANGE).any():
            return None
        return np.array(self._maze.ij_to_xy(self._free[draws.integers(len(self._free))]))

    def _act(
        self, recorder: Recorder, observation: np.ndarray, action: np.ndarray, draws: np.random.Generator
    ) -> tuple[np.ndarray, bool, bool]:
        """Take a noisy action, and record it; returns what is observed, and whether episode and goal are done."""
        noisy = np.clip(action + draws.normal(0, NOISE[self._kind], action.shape), -1, 1)
        following, _, terminated, truncated, info = self._env.step(noisy)
        done = bool(terminated or truncated)
        recorder.add(observation, noisy, done, info)
        return following, done, bool(info["success"])

    def _walk(self, direction: np.ndarray) -> np.ndarray:
        """The walking ant's action: it sees itself without its place, and a direction."""
        qpos, qvel = self._maze.data.qpos, self._maze.data.qvel
        return self._ant(np.concatenate([qpos[2:15], qvel[:14], direction]))

    def _push(self, ant: np.ndarray, ball: np.ndarray) -> np.ndarray:
        """The pushing ant's action: it sees itself, the ball, and where the ball and its goal are from here."""
        assert self._ball is not None
        qpos, qvel, goal = self._maze.data.qpos, self._maze.data.qvel, np.array(self._maze.cur_goal_xy)
        if self._maze._maze_type != "arena":
            goal = self._subgoal(ball, goal)
        away = goal - ball
        far = np.linalg.norm(away)
        away = away * (GOAL_RANGE / far) if far > GOAL_RANGE else away
        return self._ball(np.concatenate([qpos[2:15], qpos[17:22], qvel, ball - ant, away]))

    def _way(self, start: np.ndarray, goal: Place) -> np.ndarray:
        """The direction from one place to another: straight in the arena, through the maze elsewhere."""
        target = np.asarray(goal) if self._maze._maze_type == "arena" else self._subgoal(start, goal)
        return _unit(target - start)

    def _subgoal(self, start: np.ndarray, goal: Place) -> np.ndarray:
        """The centre of the next cell on the way."""
        cell: Cell = self._guide.towards(self._maze.xy_to_ij(start), self._maze.xy_to_ij(goal))
        return np.array(self._maze.ij_to_xy(cell))

    def _renew(self, cells: list[Cell], draws: np.random.Generator) -> None:
        """A new goal. By coordinates: by its cell, OGBench writes NaN into the marker's position."""
        cell = cells[draws.integers(len(cells))]
        self._maze.set_goal(goal_xy=self._maze.add_noise(self._maze.ij_to_xy(cell)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / (np.linalg.norm(vector) + 1e-6)
