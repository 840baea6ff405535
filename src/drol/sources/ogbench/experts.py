"""Episodes of OGBench's scripted experts, collected in worker processes. Does not import JAX."""

import pkgutil
from typing import Any

import gymnasium
import numpy as np

from drol.seeding import episode_seed, make_reproducible, reset_seeded
from drol.sources.ogbench.collection import MANIPULATION, Collection

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

Episode = dict[str, np.ndarray]


class Collector:
    """One environment and its experts, held by a worker process."""

    def __init__(self, collection: Collection, steps: int):
        self._collection, env = collection, collection.env
        options: dict[str, Any] = {"terminate_at_goal": False, "max_episode_steps": steps}
        if env in MANIPULATION:
            options |= {"mode": "data_collection", "visualize_info": False}
        self._env = make_reproducible(gymnasium.make(f"ogbench:{env}-v0", **options))
        if env in MANIPULATION:
            self._env.reset()
            self._experts = _experts(self._env, collection)

    def episode(self, seed: int, number: int) -> Episode:
        """Collect one episode; a scene episode whose cube leaves the reachable region is discarded and repeated."""
        for attempt in range(1000):
            start = episode_seed(seed, number, attempt)
            episode = self._manipulate(start) if self._collection.env in MANIPULATION else self._navigate(start)
            if self._collection.env != "scene" or _cube_reachable(episode["qpos"]):
                return episode
        raise RuntimeError(f"no usable episode of {self._collection.env} in 1000 attempts (seed {seed}, {number})")

    def _manipulate(self, seed: int) -> Episode:
        env, collection = self._env, self._collection
        observation, info = reset_seeded(env, seed)
        draws = _own_draws(seed)
        stacking = draws.uniform(*STACKING.get(collection.env, (0.5, 0.5)))
        noise = draws.uniform(0, NOISE) * NOISE_SCALE if collection.dataset_type == "noisy" else None
        expert = self._experts[info["privileged/target_task"]]
        self._begin(expert, observation, info)
        recorder = _Recorder()
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
        draws = _own_draws(seed)
        free, junctions = _maze_cells(maze.maze_map)  # pyright: ignore
        start = free[draws.integers(len(free))]
        if self._collection.dataset_type == "stitch":
            goals = _cells_at_distance(maze.maze_map, start, STITCH_DISTANCE) or [start]  # pyright: ignore
        else:
            goals = junctions
        goal = goals[draws.integers(len(goals))]
        observation, _ = reset_seeded(env, seed, {"task_info": {"init_ij": start, "goal_ij": goal}})
        recorder = _Recorder()
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


def _own_draws(seed: int) -> np.random.Generator:
    """A generator for the collection, independent of the environment's, which gymnasium seeds with `seed` alone."""
    return np.random.default_rng([seed, 1])


class _Recorder:
    """Records one episode in OGBench's columns."""

    def __init__(self):
        self._rows: dict[str, list] = {}

    def add(self, observation: np.ndarray, action: np.ndarray, terminal: bool, info: dict[str, Any]) -> None:
        """Add an observation, the action taken there, and the simulator state it belongs to."""
        row = {"observations": observation, "actions": action, "terminals": terminal}
        row |= {"qpos": info["prev_qpos"], "qvel": info["prev_qvel"]}
        if "prev_button_states" in info:
            row["button_states"] = info["prev_button_states"]
        for key, value in row.items():
            self._rows.setdefault(key, []).append(np.array(value))

    def episode(self) -> Episode:
        """The episode as arrays, with the dtypes of OGBench's published files."""
        dtypes = {"terminals": np.bool_, "button_states": np.int64}
        return {key: np.stack(rows).astype(dtypes.get(key, np.float32)) for key, rows in self._rows.items()}


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


Cell = tuple[int, int]


def _maze_cells(maze_map: np.ndarray) -> tuple[list[Cell], list[Cell]]:
    """All free cells, and those that are corners, junctions or dead ends, i.e. not part of a straight corridor."""
    free = [(int(i), int(j)) for i, j in np.argwhere(maze_map == 0)]

    def corridor(i: int, j: int) -> bool:
        up, down, left, right = maze_map[[i - 1, i + 1, i, i], [j, j, j - 1, j + 1]] == 0
        return bool((up and down and not left and not right) or (left and right and not up and not down))

    return free, [cell for cell in free if not corridor(*cell)]


def _cells_at_distance(maze_map: np.ndarray, start: Cell, distance: int) -> list[Cell]:
    """The free cells exactly `distance` moves from `start`."""
    seen, frontier = {start}, [start]
    for _ in range(distance):
        around = [(i + di, j + dj) for i, j in frontier for di, dj in ((-1, 0), (0, -1), (1, 0), (0, 1))]
        frontier = [c for c in dict.fromkeys(around) if c not in seen and maze_map[c] == 0]
        seen.update(frontier)
    return frontier
