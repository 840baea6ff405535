"""Data sets made on the spot by OGBench's own scripted experts, in parallel processes.

Generation settings are those of OGBench's published data sets (Park et al., 2025, appendix on data collection, and
seohongpark/ogbench: data_gen_scripts/commands.sh). An episode depends on the seed and its number alone, so the file
does not depend on how many processes made it.
"""

import dataclasses
import difflib
import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drol.extras import require
from drol.files import DataError, clear_write_errors, write_atomic
from drol.processes import pool, ready
from drol.seeding import checked_seed, episode_seed, make_reproducible, reset_seeded
from drol.signals import stop_requests

CUBES = ("cube-single", "cube-double", "cube-triple", "cube-quadruple")
PUZZLES = ("puzzle-3x3", "puzzle-4x4", "puzzle-4x5", "puzzle-4x6")
MANIPULATION = (*CUBES, "scene", *PUZZLES)
MAZES = ("pointmaze-medium", "pointmaze-large", "pointmaze-giant", "pointmaze-teleport")
COLLECTIBLE = tuple(f"{env}-{kind}" for env in MANIPULATION for kind in ("play", "noisy")) + tuple(
    f"{env}-{kind}" for env in MAZES for kind in ("navigate", "stitch")
)

# Ranges from which an episode draws its probability of stacking cubes; 0.5 elsewhere.
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


@dataclasses.dataclass(frozen=True)
class Collection:
    """A collectible data set: environment, kind of expert, and the published numbers."""

    env: str
    kind: str

    @property
    def steps(self) -> int:
        """States per episode."""
        if self.kind == "stitch":
            return 201
        return 2001 if self.env == "pointmaze-giant" else 1001

    @property
    def episodes(self) -> int:
        """Episodes of the published training set."""
        larger = {"cube-triple": 3000, "cube-quadruple": 5000, "puzzle-4x5": 3000, "puzzle-4x6": 5000}
        if self.kind == "stitch":
            return 5000
        if self.env == "pointmaze-giant":
            return 500
        return larger.get(self.env, 1000)

    @property
    def random_action(self) -> float:
        """The probability of a random action."""
        if self.kind != "noisy":
            return 0.0
        return 0.2 if self.env.startswith("puzzle") else 0.1


def parse_collection(name: str) -> Collection:
    """The data set called `name`, for instance `cube-single-play` (a trailing `-v0` is accepted).

    Raises:
        DataError: if no scripted expert can make it; names the nearest that can be made.
    """
    short = name.removesuffix("-v0")
    if short not in COLLECTIBLE:
        near = difflib.get_close_matches(short, COLLECTIBLE, n=1, cutoff=0.3)
        raise DataError(
            f"cannot collect {name!r}: expected ENV-DATASET with a scripted expert; the nearest is {near[0]!r}"
            if near
            else f"cannot collect {name!r}: expected one of {', '.join(COLLECTIBLE)}"
        )
    env, kind = short.rsplit("-", 1)
    return Collection(env, kind)


def collect(
    name: str,
    *,
    out: str | Path,
    episodes: int | None = None,
    seed: int = 0,
    workers: int = 1,
    steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Path]:
    """Collect a data set and write it in OGBench's format: `out` and, beside it, `*-val.npz`.

    Args:
        name: a data set of `COLLECTIBLE`.
        out: path of the training file, ending in `.npz`.
        episodes: training episodes, by default as many as OGBench published; a tenth as many (at least one) are added
            for validation.
        seed: makes the file; the same seed gives the same bytes, whatever `workers` is.
        workers: processes.
        steps: states per episode, by default as many as OGBench published.
        progress: called with (episodes done, episodes in all).

    Returns:
        The paths of the training and the validation file.

    Raises:
        DataError: for a name or path that cannot be used, before any work is done.
        ValueError: for a seed out of range.
        OSError: if the files cannot be written; neither is left half-written.
        StoppedError: on SIGINT or SIGTERM while episodes are made; nothing is written then.
    """
    collection = parse_collection(name)
    require("ogbench", "ogbench")
    paths = _output_paths(Path(out))
    count = collection.episodes if episodes is None else episodes
    steps = collection.steps if steps is None else steps
    if count < 1 or workers < 1 or steps < 2:
        raise DataError(
            f"episodes and workers must be at least 1 and steps at least 2, found {count}, {workers} and {steps}"
        )
    seed = checked_seed(seed)
    total = count + max(1, count // 10)
    results: list[Episode | None] = [None] * total
    with stop_requests(), pool(min(workers, total), "drol.data.collect:Collector", collection, steps) as processes:
        waiting = iter(range(total))
        assigned = {}
        for worker in processes:
            assigned[worker] = next(waiting)
            worker.send("episode", seed, assigned[worker])
        done = 0
        while assigned:
            for worker in ready(list(assigned)):
                results[assigned.pop(worker)] = worker.receive()
                done += 1
                if progress is not None:
                    progress(done, total)
                following = next(waiting, None)
                if following is not None:
                    assigned[worker] = following
                    worker.send("episode", seed, following)
    # The training file last: where it is, both are.
    for path, part in zip(reversed(paths), (results[count:], results[:count]), strict=True):
        arrays = {key: np.concatenate([e[key] for e in part if e is not None]) for key in part[0] or {}}
        write_atomic(path, lambda file, arrays=arrays: _write_npz(file, arrays))
    return paths


def _output_paths(out: Path) -> tuple[Path, Path]:
    if out.suffix != ".npz" or out.name.endswith("-val.npz"):
        raise DataError(f"--out must be a file name ending in .npz (and not in -val.npz), found {str(out)!r}")
    paths = (out, out.with_name(out.stem + "-val.npz"))
    for path in paths:
        if path.exists():
            raise DataError(f"{path} exists already; choose another name with --out or remove it")
    with clear_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK):
            raise PermissionError(errno.EACCES, f"no permission to write into {out.parent}")
    return paths


class Collector:
    """One environment and its experts; lives in a worker process."""

    def __init__(self, collection: Collection, steps: int):
        import gymnasium
        import ogbench  # noqa: F401  (registers the environments)

        self._collection, env = collection, collection.env
        options: dict[str, Any] = {"terminate_at_goal": False, "max_episode_steps": steps}
        if env in MANIPULATION:
            options |= {"mode": "data_collection", "visualize_info": False}
        self._env = make_reproducible(gymnasium.make(f"{env}-v0", **options))
        if env in MANIPULATION:
            self._env.reset()
            self._experts = _experts(self._env, collection)

    def episode(self, seed: int, number: int) -> Episode:
        """Collect one episode; scene episodes whose cube leaves the reachable region are collected again."""
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
        noise = draws.uniform(0, NOISE) * NOISE_SCALE if collection.kind == "noisy" else None
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
                # The new target changes what the expert sees, not the state.
                target_observation, target_info = env.unwrapped.set_new_target(p_stack=stacking)  # pyright: ignore
                expert = self._experts[target_info["privileged/target_task"]]
                self._begin(expert, target_observation, target_info)
            recorder.add(observation, action, done, info)
            observation = following
        return recorder.episode()

    def _begin(self, expert: Any, observation: np.ndarray, info: dict[str, Any]) -> None:
        """Give an expert its target."""
        expert.reset(observation, info)
        if self._collection == Collection("scene", "noisy") and info["privileged/target_task"] == "cube":
            # `reset` sets the limit to 200, whatever the constructor was told.
            expert._max_step = SCENE_CUBE_STEPS

    def _navigate(self, seed: int) -> Episode:
        env, maze = self._env, self._env.unwrapped
        draws = _own_draws(seed)
        free, junctions = _maze_cells(maze.maze_map)  # pyright: ignore
        start = free[draws.integers(len(free))]
        if self._collection.kind == "stitch":
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
            if info["success"] and self._collection.kind == "navigate":
                cell = junctions[draws.integers(len(junctions))]
                maze.set_goal(goal_xy=maze.add_noise(maze.ij_to_xy(cell)))  # pyright: ignore
            recorder.add(observation, action, done, info)
            observation = following
        return recorder.episode()


def _write_npz(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    np.savez_compressed(file, **arrays)


def _own_draws(seed: int) -> np.random.Generator:
    """Draws of the collection itself, independent of the environment's, which gymnasium seeds with `seed` alone."""
    return np.random.default_rng([seed, 1])


class _Recorder:
    """Gathers one episode in OGBench's columns."""

    def __init__(self):
        self._rows: dict[str, list] = {}

    def add(self, observation: np.ndarray, action: np.ndarray, terminal: bool, info: dict[str, Any]) -> None:
        """Add a state, the action taken in it, and the simulator state it belongs to."""
        row = {"observations": observation, "actions": action, "terminals": terminal}
        row |= {"qpos": info["prev_qpos"], "qvel": info["prev_qvel"]}
        if "prev_button_states" in info:
            row["button_states"] = info["prev_button_states"]
        for key, value in row.items():
            self._rows.setdefault(key, []).append(np.array(value))

    def episode(self) -> Episode:
        """The episode as arrays, in the data types OGBench publishes."""
        dtypes = {"terminals": np.bool_, "button_states": np.int64}
        return {key: np.stack(rows).astype(dtypes.get(key, np.float32)) for key, rows in self._rows.items()}


def _experts(env: Any, collection: Collection) -> dict[str, Any]:
    """The scripted expert of each kind of target: plans for `play`, Markov controllers for `noisy`."""
    import importlib

    tasks = {"cube": ("cube",), "puzzle": ("button",), "scene": ("cube", "button", "drawer", "window")}
    style = "plan" if collection.kind == "play" else "markov"
    experts = {}
    for task in tasks[collection.env.split("-")[0]]:
        module = importlib.import_module(f"ogbench.manipspace.oracles.{style}.{task}_{style}")
        options: dict[str, Any] = {"env": env}
        if style == "plan":
            options |= {"noise": NOISE, "noise_smoothing": NOISE_SMOOTHING}
        else:
            options |= {"min_norm": MIN_NORM}
        if collection.env.startswith("puzzle"):
            options["gripper_always_closed"] = True
        experts[task] = getattr(module, f"{task.title()}{style.title()}Oracle")(**options)
    return experts


def _cube_reachable(qpos: np.ndarray) -> bool:
    """Whether a scene's cube (qpos 14..16) stayed where the arm reaches, or in the drawer."""
    y, z = qpos[:, 15], qpos[:, 16]
    outside_drawer = (y <= -0.3) & ((z < 0.06) | (z > 0.08))
    return not ((y >= 0.29) | outside_drawer).any()


Cell = tuple[int, int]


def _maze_cells(maze_map: np.ndarray) -> tuple[list[Cell], list[Cell]]:
    """All free cells, and those of them that are corners, junctions or ends: not a straight corridor's."""
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
