"""maze2d data collected locally with D4RL's own waypoint controller."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.errors import DataError
from drol.extras import lazy, require
from drol.files import write_atomic
from drol.seeding import checked_seed, episode_seed
from drol.sources.d4rl import environments
from drol.sources.d4rl.tasks import D4RLTask, task

if TYPE_CHECKING:
    import h5py
else:
    h5py = lazy("h5py", "hdf5")

waypoints = lazy("d4rl.pointmaze.waypoint_controller", "d4rl")
grid_spec = lazy("d4rl.pointmaze.gridcraft.grid_spec", "d4rl")

PROGRESS_STEPS = 1000

NOISE = 0.5
"""Standard deviation of the action noise; without noise, the data leave a policy nothing to choose from."""


def published_steps(name: str) -> int:
    """The number of rows in a task's published file: 2 million for the medium maze, 4 for the large one, else 1.

    The source states no number for the files of the evaluation mazes.

    Source: Fu et al. 2020, the appendix's table of samples, totalled in Evan-wyl/robotlearning: data/dataset.md.
    """
    millions = {"maze2d-medium": 2, "maze2d-large": 4}
    return 1_000_000 * next((count for maze, count in millions.items() if name.startswith(maze)), 1)


def maze_task(name: str) -> D4RLTask:
    """The task of that name, whose data can be collected here.

    Raises:
        DataError: for any other task.
    """
    known = task(name)
    if known.family != "maze2d":
        raise DataError(f"{name} cannot be collected: D4RL has a controller for maze2d tasks only")
    return known


def collect(
    name: str,
    *,
    out: str | Path,
    steps: int,
    seed: int = 0,
    noise: float,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Walk through a maze from one random goal to the next and store the walk in D4RL's format.

    Conventions are those of the published files (Fu et al., 2020; D4RL's scripts for generation and relabelling). The
    data are one walk without resets or terminals. `timeouts` mark the rows in which the current goal was reached, or
    given up after the task's time limit; another goal is drawn for the next row. `rewards` are computed from the task's
    fixed goal and the state *before* the action, whereas the environment rewards the state after it: row t + 1 holds
    the reward that the environment gives for row t. One difference: in the published files, the row after each timeout
    repeats an old observation; here every row holds the state in which its action was taken.

    The file depends on the arguments alone.

    Args:
        name: a maze2d task.
        out: the file to write.
        steps: number of rows; see `published_steps` for that of the published file.
        seed: for all random draws.
        noise: standard deviation of the noise added to actions, which are then clipped to [-1, 1]; D4RL's script uses
            0.5 if noise is requested.
        progress: called with (rows so far, total rows).

    Returns:
        The path of the file.

    Raises:
        DataError: for another task or numbers out of range.
        ValueError: for a seed out of range.
        MissingExtraError: if D4RL is not installed.
    """
    known = maze_task(name)
    if steps < 2 or noise < 0:
        raise DataError(f"expected at least 2 steps and noise of 0 or more, found {steps} and {noise}")
    # D4RL seeds NumPy's global generator, which takes 32 bits.
    seed = seed if checked_seed(seed) < 2**32 else episode_seed(seed)
    require("h5py", "hdf5")
    env = environments.make(name).unwrapped
    assert isinstance(env, environments.D4RLEnv)
    with _restored_draws():
        columns = _walk(env, known.max_episode_steps, steps, seed, noise, progress)
    out = Path(out).expanduser()
    write_atomic(out, lambda file: file.write(_as_hdf5(columns)))
    return out


def _walk(
    env: environments.D4RLEnv,
    limit: int,
    steps: int,
    seed: int,
    noise: float,
    progress: Callable[[int, int], None] | None,
) -> dict[str, np.ndarray]:
    env.reset(seed=seed)
    maze = env.inner
    evaluation_goal = np.array(maze.get_target(), np.float64)
    controller = waypoint_controller(maze.str_maze_spec)
    columns: dict[str, list[Any]] = {name: [] for name in ("observations", "actions", "timeouts", "infos/goal")}
    maze.set_target()
    since = 0
    for row in range(steps):
        state = np.concatenate([maze.sim.data.qpos, maze.sim.data.qvel])
        action, reached = controller.get_action(state[:2], state[2:], maze.get_target())
        action = np.clip(action + noise * np.random.randn(*action.shape), -1, 1)
        done = bool(reached) or since >= limit
        for name, value in zip(columns, (state, action, done, maze.get_target()), strict=True):
            columns[name].append(value)
        maze.step(action)
        since += 1
        if done:
            maze.set_target()
            since = 0
        if progress is not None and (row + 1) % PROGRESS_STEPS == 0:
            progress(row + 1, steps)
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    states = arrays["observations"]
    arrays["rewards"] = rewards(states, evaluation_goal, maze.reward_type)
    arrays |= {"infos/qpos": states[:, :2], "infos/qvel": states[:, 2:], "terminals": np.zeros(steps, bool)}
    return {name: array if array.dtype == bool else array.astype(np.float32) for name, array in arrays.items()}


def rewards(states: np.ndarray, goal: np.ndarray, kind: str) -> np.ndarray:
    """(T,) D4RL's reward in each state (T, 4): 1 within 0.5 of the goal if sparse, exp(-distance) if dense."""
    distance = np.linalg.norm(states[:, :2] - goal, axis=-1)
    return np.exp(-distance) if kind == "dense" else (distance <= 0.5).astype(np.float64)


def waypoint_controller(maze: str) -> Any:
    """D4RL's controller for a maze, sped up.

    The controller replans for every goal by value iteration over the grid's cells. Its transitions never change, and
    its rewards are 1 in the goal's cell, so both are supplied here instead of being enumerated for every goal (0.4 s in
    the large maze).
    """
    controller = waypoints.WaypointController(maze)
    grid, reward_tile = controller.env, grid_spec.REWARD
    transitions = grid.transition_matrix()

    def reward_matrix() -> np.ndarray:
        # Cells are numbered along the first axis of the grid.
        at_goal = (grid.gs.spec == reward_tile).ravel(order="F")
        return np.broadcast_to(at_goal[:, None, None].astype(np.float64), transitions.shape)

    grid.transition_matrix, grid.reward_matrix = lambda: transitions, reward_matrix
    return controller


@contextlib.contextmanager
def _restored_draws() -> Iterator[None]:
    """Restore NumPy's global generator afterwards: the controller draws from it, and a reset seeds it."""
    before = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(before)


def _as_hdf5(columns: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, column in columns.items():
            file.create_dataset(name, data=column, compression="gzip", track_times=False)
    return buffer.getvalue()
