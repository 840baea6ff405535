"""Episodes of OGBench's scripted experts, collected in worker processes. Does not import JAX."""

import pkgutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from drol.seeding import episode_seed, make_reproducible, reset_seeded
from drol.sources.ogbench.actors import load_actor
from drol.sources.ogbench.ants import AntRecorder
from drol.sources.ogbench.collection import MANIPULATION, Collection
from drol.sources.ogbench.mazes import cells_at_distance, maze_cells
from drol.sources.ogbench.recording import Episode, Recorder, own_draws

# Ranges from which an episode draws its probability of stacking cubes; 0.5 in other environments.
STACKING = {
    "cube-single": (0.0, 0.0),
    "cube-double": (0.0, 0.25),
    "cube-triple": (0.05, 0.35),
    "cube-quadruple": (0.1, 0.5),
}
NOISE = 0.1
NOISE_SMOOTHING = 0.5
MIN_NORM = 0.4
NOISE_SCALE = np.array([1.0, 1.0, 1.0, 3.0, 10.0])
SCENE_CUBE_STEPS = 100
MAZE_NOISE = 0.5
STITCH_DISTANCE = 4


class Collector:
    """One environment and its experts, held by a worker process."""

    def __init__(self, collection: Collection, steps: int, actors: Path | None = None):
        self._collection, env = collection, collection.env
        options: dict[str, Any] = {"terminate_at_goal": False, "max_episode_steps": steps}
        if env in MANIPULATION:
            options |= {"mode": "data_collection", "visualize_info": False}
        self._env = make_reproducible(gymnasium.make(f"ogbench:{env}-v0", **options))
        if env in MANIPULATION:
            self._env.reset()
            self._experts = _experts(self._env, collection)
        self._ant = None
        if collection.actors:
            loaded = [load_actor(name, actors) for name in collection.actors]
            self._ant = AntRecorder(self._env, collection.dataset_type, *loaded)

    def episode(self, seed: int, number: int) -> Episode:
        """Collect one episode; a scene episode whose cube leaves the reachable region is discarded and repeated."""
        for attempt in range(1000):
            start = episode_seed(seed, number, attempt)
            episode = self._recorded(start)
            if self._collection.env != "scene" or _cube_reachable(episode["qpos"]):
                return episode
        raise RuntimeError(f"no usable episode of {self._collection.env} in 1000 attempts (seed {seed}, {number})")

    def _recorded(self, seed: int) -> Episode:
        if self._ant is not None:
            return self._ant.episode(seed)
        return self._manipulate(seed) if self._collection.env in MANIPULATION else self._navigate(seed)

    def _manipulate(self, seed: int) -> Episode:
        env, collection = self._env, self._collection
        observation, info = reset_seeded(env, seed)
        draws = own_draws(seed)
        stacking = draws.uniform(*STACKING.get(collection.env, (0.5, 0.5)))
        noise = draws.uniform(0, NOISE) * NOISE_SCALE if collection.dataset_type == "noisy" else None
        expert = self._experts[info["privileged/target_task"]]
        self._begin(expert, observation, info)
        recorder = Recorder()
        done = False
        while not done:
            if draws.random() < collection.random_action:
                action = env.action_space.sample()
            else:
                action = np.array(expert.select_action(observation, info))
                if noise is not None:
                    action = action + draws.normal(0, noise)
            action = np.clip(action, -1, 1)
            following, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            if expert.done:
                # The new target changes only what the expert sees, not the simulator state.
                target_observation, target_info = env.unwrapped.set_new_target(p_stack=stacking)  # pyright: ignore
                expert = self._experts[target_info["privileged/target_task"]]
                self._begin(expert, target_observation, target_info)
            recorder.add(observation, action, done, info)
            observation = following
        return recorder.episode()

    def _begin(self, expert: Any, observation: np.ndarray, info: dict[str, Any]) -> None:
        """Reset an expert for its new target."""
        expert.reset(observation, info)
        if self._collection == Collection("scene", "noisy") and info["privileged/target_task"] == "cube":
            # `reset` sets the limit to 200 regardless of the constructor's argument.
            expert._max_step = SCENE_CUBE_STEPS

    def _navigate(self, seed: int) -> Episode:
        env, maze = self._env, self._env.unwrapped
        draws = own_draws(seed)
        free, junctions = maze_cells(maze.maze_map)  # pyright: ignore
        start = free[draws.integers(len(free))]
        if self._collection.dataset_type == "stitch":
            goals = cells_at_distance(maze.maze_map, start, STITCH_DISTANCE) or [start]  # pyright: ignore
        else:
            goals = junctions
        goal = goals[draws.integers(len(goals))]
        observation, _ = reset_seeded(env, seed, {"task_info": {"init_ij": start, "goal_ij": goal}})
        recorder = Recorder()
        done = False
        while not done:
            position = maze.get_xy()  # pyright: ignore
            subgoal, _ = maze.get_oracle_subgoal(position, maze.cur_goal_xy)  # pyright: ignore
            direction = (subgoal - position) / (np.linalg.norm(subgoal - position) + 1e-6)
            action = np.clip(direction + draws.normal(0, MAZE_NOISE, direction.shape), -1, 1)
            following, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            if info["success"] and self._collection.dataset_type == "navigate":
                cell = junctions[draws.integers(len(junctions))]
                maze.set_goal(goal_xy=maze.add_noise(maze.ij_to_xy(cell)))  # pyright: ignore
            recorder.add(observation, action, done, info)
            observation = following
        return recorder.episode()


def _experts(env: gymnasium.Env, collection: Collection) -> dict[str, Any]:
    """The scripted expert for each kind of target: planners for `play`, Markov controllers for `noisy`."""
    tasks = {"cube": ("cube",), "puzzle": ("button",), "scene": ("cube", "button", "drawer", "window")}
    style = "plan" if collection.dataset_type == "play" else "markov"
    experts = {}
    for task in tasks[collection.env.split("-")[0]]:
        oracle = f"ogbench.manipspace.oracles.{style}.{task}_{style}:{task.title()}{style.title()}Oracle"
        options: dict[str, Any] = {"env": env}
        if style == "plan":
            options |= {"noise": NOISE, "noise_smoothing": NOISE_SMOOTHING}
        else:
            options |= {"min_norm": MIN_NORM}
        if collection.env.startswith("puzzle"):
            options["gripper_always_closed"] = True
        experts[task] = pkgutil.resolve_name(oracle)(**options)
    return experts


def _cube_reachable(qpos: np.ndarray) -> bool:
    """Whether a scene's cube (qpos 14..16) stayed within the arm's reach or in the drawer."""
    y, z = qpos[:, 15], qpos[:, 16]
    outside_drawer = (y <= -0.3) & ((z < 0.06) | (z > 0.08))
    return not ((y >= 0.29) | outside_drawer).any()
