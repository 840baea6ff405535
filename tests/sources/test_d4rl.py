"""D4RL's files: read as d4rl reads them, refused when damaged; and maze2d data made here."""

import importlib.util
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drol.data.checks import ACTION_LIMIT
from drol.data.readers.hdf5 import read_hdf5
from drol.data.readers.npz import UNREAD
from drol.errors import DataError
from drol.extras import quiet
from drol.files import sha256
from drol.sources.d4rl import environments
from drol.sources.d4rl import maze2d as d4rl_maze
from drol.sources.d4rl import reading as d4rl
from drol.sources.d4rl.tasks import task

needs_d4rl = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("gym", "mujoco_py", "d4rl")),
    reason="D4RL is not installed (`drol install-d4rl`)",
)


def write(path, columns):
    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            file[name] = column
    return path


def random_columns(name, rows, seed=0):
    """A file of a task with random contents: time-outs, terminals, both at once, one-row episodes."""
    rng, known = np.random.default_rng(seed), task(name)
    return {
        "observations": rng.normal(size=(rows, known.observation_dim)),
        "actions": rng.uniform(-1, 1, (rows, known.action_dim)).astype(np.float32),
        "rewards": rng.normal(size=rows),
        "terminals": rng.random(rows) < 0.15,
        "timeouts": rng.random(rows) < 0.15,
        "infos/qpos": rng.normal(size=(rows, 7)),
        "infos/qvel": rng.normal(size=(rows, 6)),
        "metadata/algorithm": "strings of any length lie in D4RL's own files too",
    }


def specified(name, columns):
    """(s, a, r, mask, s', end) of every transition, row by row as the specification has it."""
    rows, count, step = [], len(columns["rewards"]), 0
    limit = task(name).max_episode_steps
    for i in range(count - 1):
        final = bool(columns["timeouts"][i]) if "timeouts" in columns else step == limit - 1
        if final:
            step = 0
            continue
        step = 1 if columns["terminals"][i] else step + 1
        rows.append(i)
    single = {key: np.asarray(columns[key], np.float32) for key in ("observations", "actions", "rewards")}
    result = []
    for k, i in enumerate(rows):
        terminal = bool(columns["terminals"][i])
        end = k == len(rows) - 1 or (terminal and not name.startswith("antmaze"))
        if not end:
            step_apart = np.linalg.norm(single["observations"][rows[k + 1]] - single["observations"][i + 1])
            end = bool(step_apart > 1e-6)
        reward = single["rewards"][i] - (1 if name.startswith("antmaze") else 0)
        action = np.clip(single["actions"][i], -(1 - 1e-5), 1 - 1e-5)
        result.append((single["observations"][i], action, reward, not terminal, single["observations"][i + 1], end))
    return result


def assert_as_specified(name, columns, path):
    data, expected = d4rl.load(name, path=path).train, specified(name, columns)
    assert len(data) == len(expected)
    for k, (observation, action, reward, mask, following, end) in enumerate(expected):
        np.testing.assert_array_equal(data.observations[data.index[k]], observation)
        np.testing.assert_array_equal(data.actions[k], action)
        assert (data.rewards[k], data.masks[k]) == (reward, mask)
        np.testing.assert_array_equal(data.observations[data.next_index[k]], following)
        assert data.next_action_index[k] == (k if end else k + 1)


@given(seed=st.integers(0, 1000), rows=st.integers(2, 60))
@settings(max_examples=15)
@pytest.mark.parametrize("name", ["antmaze-umaze-v2", "pen-human-v1", "hopper-medium-v2"])
def test_transitions_are_those_specified(name, seed, rows, tmp_path_factory):
    columns = random_columns(name, rows, seed)
    columns["timeouts"][0] = columns["terminals"][0] = False
    path = write(tmp_path_factory.mktemp("d4rl") / "a.hdf5", columns)
    assert_as_specified(name, columns, path)


@pytest.mark.parametrize(
    ("terminals", "left_out"),
    [
        ((), (99, 199, 299, 399, 419)),
        ((20,), (119, 219, 319, 419)),
        ((98, 150), (249, 349, 419)),
        ((99, 199, 298), (99, 199, 397, 419)),
    ],
)
def test_without_timeouts_the_limit_counts_as_d4rl_counts(tmp_path, terminals, left_out):
    """Also its slip: after a terminal the next episode times out a row earlier."""
    columns = random_columns("pen-human-v1", 420)
    del columns["timeouts"]
    columns["terminals"] = np.isin(np.arange(420), terminals)
    path = write(tmp_path / "a.hdf5", columns)
    assert_as_specified("pen-human-v1", columns, path)
    assert set(range(420)) - set(d4rl.read("pen-human-v1", path).rows.tolist()) == set(left_out)


def test_the_log_is_raw_and_knows_its_rows(tmp_path):
    columns = random_columns("antmaze-umaze-v2", 12)
    columns["timeouts"] = np.isin(np.arange(12), (4, 8))
    columns["terminals"] = np.isin(np.arange(12), (2, 7))
    columns["actions"][5] = 3.0
    log = d4rl.read("antmaze-umaze-v2", write(tmp_path / "a.hdf5", columns))
    np.testing.assert_array_equal(log.rows, [0, 1, 2, 3, 5, 6, 7, 9, 10])
    np.testing.assert_array_equal(log.index, log.rows)
    np.testing.assert_array_equal(log.next_index, log.rows + 1)
    np.testing.assert_array_equal(log.rows[log.ends], [3, 7, 10])
    np.testing.assert_array_equal(log.rows[log.truncated], [3, 10])
    np.testing.assert_array_equal(log.rows[log.terminated], [2, 7])
    np.testing.assert_array_equal(log.rewards, columns["rewards"][log.rows])
    np.testing.assert_array_equal(log.states["qpos"], columns["infos/qpos"])
    assert set(log.states) == {"qpos", "qvel"}
    train = d4rl.load("antmaze-umaze-v2", path=tmp_path / "a.hdf5").train
    np.testing.assert_allclose(train.actions[4], ACTION_LIMIT)  # clipped, as for the published results


def test_columns_of_one_number_are_taken_as_d4rl_takes_them(tmp_path):
    columns = random_columns("pen-human-v1", 30)
    flat = d4rl.load("pen-human-v1", path=write(tmp_path / "flat.hdf5", columns)).train
    tall = {k: v[:, None] if k in ("rewards", "terminals", "timeouts") else v for k, v in columns.items()}
    data = d4rl.load("pen-human-v1", path=write(tmp_path / "tall.hdf5", tall)).train
    np.testing.assert_array_equal(data.rewards, flat.rewards)
    np.testing.assert_array_equal(data.masks, flat.masks)


def test_the_source_is_recorded_and_nothing_held_out(tmp_path):
    path = write(tmp_path / "a.hdf5", random_columns("pen-human-v1", 30))
    data = d4rl.load("pen-human-v1", path=path)
    assert data.validation is None
    assert data.units is None
    files = [{"name": "a.hdf5", "bytes": path.stat().st_size, "sha256": sha256(path)}]
    assert data.source == {"kind": "d4rl", "files": files}
    json.dumps(data.source)


def test_the_file_is_looked_for_where_d4rl_keeps_it(tmp_path, monkeypatch):
    write(tmp_path / "pen-human-v1.hdf5", random_columns("pen-human-v1", 30))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    assert len(d4rl.load("pen-human-v1").train)
    monkeypatch.delenv("D4RL_DATASET_DIR")
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(d4rl.dataset_folder()) == "/somewhere/.d4rl/datasets"


def test_an_absent_file_is_downloaded_there(tmp_path, monkeypatch):
    calls = []

    def download(url, path, progress=None, *, other_ways="", expected=None):
        calls.append((url, path, progress, other_ways))
        write(path, random_columns("antmaze-large-play-v2", 30))

    monkeypatch.setattr(d4rl, "download", download)
    assert len(d4rl.load("antmaze-large-play-v2", folder=tmp_path, progress=print).train)
    (url, path, progress, other_ways), *_ = calls
    assert url == task("antmaze-large-play-v2").url
    assert path.name == "Ant_maze_hardest-maze_noisy_multistart_True_multigoal_False_sparse_fixed.hdf5"
    assert progress is print
    assert f"put it into {tmp_path}" in other_ways
    assert "collect" not in other_ways
    d4rl.load("antmaze-large-play-v2", folder=tmp_path)
    assert len(calls) == 1


def broken(change):
    columns = random_columns("pen-human-v1", 20)
    change(columns)
    return columns


MALFORMED = {
    "key": (lambda c: c.pop("rewards"), "expected D4RL's arrays .* rewards missing, found actions"),
    "length": (
        lambda c: c.update(actions=c["actions"][:-1]),
        r"'actions' must have shape \(20, n\), found \(19, 24\)",
    ),
    "rewards": (
        lambda c: c.update(rewards=c["rewards"][:-1]),
        r"'rewards' must be numbers of shape \(20,\), found \(19,\)",
    ),
    "terminals": (lambda c: c.update(terminals=c["terminals"][:5]), "'terminals' must be true or false of shape .20,."),
    "flags": (lambda c: c.update(timeouts=np.full(20, 2)), "'timeouts' must be 0 or 1, found 2 in row 0"),
    "dims": (lambda c: c.update(observations=np.zeros((20, 29))), "has observations of 45 numbers.*another task"),
    "axes": (lambda c: c.update(observations=np.zeros(20)), r"'observations' must have shape \(T, n\)"),
    "scalar": (lambda c: c.update(observations=3.0), r"'observations' must have shape \(T, n\), found \(\)"),
    "states": (lambda c: c.update({"infos/qpos": np.zeros((19, 7))}), r"'infos/qpos' must have shape \(20, n\)"),
    "NaN": (lambda c: c["observations"].__setitem__((7, 2), np.nan), "'observations' has 1 NaN .* row 7"),
    "reward": (lambda c: c["rewards"].__setitem__(3, np.inf), "'rewards' has 1 NaN or infinite .* row 3"),
    "strings": (lambda c: c.update(actions=np.full((20, 24), b"x")), "'actions' must hold numbers, found .*S1"),
    "objects": (lambda c: c.update(rewards=["x"] * 20), "'rewards' holds strings or lists of any length"),
    "empty": (lambda c: c.update(rewards=h5py.Empty("f4")), "'rewards' is empty"),
    "no rows": (lambda c: c.update(observations=np.zeros((0, 45))), "'observations' has no rows"),
    "time-outs": (lambda c: c.update(timeouts=np.ones(20, bool)), "there is no transition"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_files_give_one_clear_error(kind, tmp_path):
    change, message = MALFORMED[kind]
    path = tmp_path / "a.hdf5"
    columns = broken(change)
    columns["timeouts"][[3, 7]] = columns["timeouts"][[3, 7]] & (kind in ("time-outs", "flags"))
    write(path, columns)
    with pytest.raises(DataError, match=message) as caught:
        d4rl.load("pen-human-v1", path=path)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "a.hdf5"
    with pytest.raises(DataError, match="does not exist"):
        d4rl.load("pen-human-v1", path=path)
    for content in (b"", b"PK\x03\x04 not this", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not readable as an HDF5 file"):
            d4rl.load("pen-human-v1", path=path)
    with pytest.raises(DataError, match="not readable as an HDF5 file"):
        read_hdf5(tmp_path)
    with pytest.raises(DataError, match="unknown D4RL task 'pen-human-v9'"):
        d4rl.load("pen-human-v9", path=path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, share):
    path = write(tmp_path / "a.hdf5", random_columns("pen-human-v1", 50))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="not readable as an HDF5 file"):
        d4rl.load("pen-human-v1", path=path)


def test_a_damaged_block_is_refused(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        for name, column in random_columns("pen-human-v1", 50).items():
            file.create_dataset(name, data=column, **({} if name.startswith("meta") else {"compression": "gzip"}))
    whole = bytearray(path.read_bytes())
    at = whole.find(b"x\x01", len(whole) // 3) if b"x\x01" in whole else whole.find(b"x\x5e", len(whole) // 3)
    whole[at : at + 40] = bytes(40)
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match="not readable as an HDF5 file"):
        d4rl.load("pen-human-v1", path=path)


def test_hdf5_names_links_and_groups(tmp_path):
    path, other = tmp_path / "a.hdf5", write(tmp_path / "secret.hdf5", {"x": np.ones(3)})
    with h5py.File(path, "w") as file:
        file["x"], file["g/h/y"], file["one"], file["bytes"] = np.arange(5), np.ones((2, 3)), 3.0, np.bytes_("abc")
        file["alias"] = file["x"]
        file["g/h/itself"] = file["g"]
        file["soft"], file["outside"] = h5py.SoftLink("/x"), h5py.ExternalLink(str(other), "x")
        file["hop"], file["g/up"] = h5py.SoftLink("/g/up"), h5py.SoftLink("/")
        file["through"], file["gone"] = h5py.SoftLink("outside"), h5py.SoftLink("/g/nothing/x")
        file["round"], file["back"] = h5py.SoftLink("/back"), h5py.SoftLink("round")
        file["text"] = "of any length"
    found = read_hdf5(path, wanted=["x", "alias", "g/h/y", "one", "bytes", "soft", "hop/x", "absent"].__contains__)
    assert {name: array.shape for name, array in found.items() if array is not UNREAD} == {
        "x": (5,),
        "alias": (5,),
        "g/h/y": (2, 3),
        "one": (),
        "bytes": (),
        "soft": (5,),
    }
    for name, words in (
        ("outside", "is a link to another file, .*secret.hdf5', which is not opened"),
        ("through", "is a link to another file, .*secret.hdf5', which is not opened"),
        ("gone", "is a link to '/g/nothing/x', which is not in the file"),
        ("round", "which leads back to itself"),
        ("text", "'text' holds strings or lists of any length"),
    ):
        with pytest.raises(DataError, match=words):
            read_hdf5(path, wanted=name.__eq__)
    with pytest.raises(DataError, match="which"):
        read_hdf5(path)
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(other), "x", shape=(3,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("elsewhere", layout)
    with pytest.raises(DataError, match="'elsewhere' is stored in other files"):
        read_hdf5(path)


# With D4RL itself


def rolled_out(name, steps, seed=0):
    """Random actions in a task, logged in D4RL's format."""
    env = environments.make(name)
    inner, rng = env.unwrapped.inner, np.random.default_rng(seed)
    names = ("observations", "actions", "rewards", "terminals", "timeouts", "infos/qpos", "infos/qvel")
    rows = []
    observation, _ = env.reset(seed=seed)
    for step in range(steps):
        if name.startswith("antmaze") and step % 37 == 36:
            inner.set_xy(inner.target_goal)  # where no random action ever leads
        # The pen is held as long as the hand is still, and thrown after that.
        still = name.startswith("pen") and step < 150
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32) * (0 if still else 1)
        states = inner.sim.data.qpos.copy(), inner.sim.data.qvel.copy()
        following, reward, terminated, truncated, _ = env.step(action)
        steps_left = env.unwrapped._limit - env.unwrapped._steps
        # As D4RL logs: a time-out is one even where the goal was reached too, and antmaze's goal ends nothing.
        truncated = steps_left == 0
        rows.append((observation, action, np.float32(reward), terminated, truncated, *states))
        over = truncated or (terminated and not name.startswith("antmaze"))
        observation = env.reset()[0] if over else following
    return {key: np.array(column) for key, column in zip(names, zip(*rows, strict=True), strict=True)}


@needs_d4rl
@pytest.mark.parametrize("timeouts", [True, False], ids=["timeouts", "no-timeouts"])
@pytest.mark.parametrize(
    "name", ["antmaze-umaze-v2", "pen-human-v1", "maze2d-umaze-v1", "maze2d-open-dense-v0", "hopper-medium-v2"]
)
def test_transitions_are_those_of_qlearning_dataset(name, timeouts, tmp_path, capfd):
    columns = rolled_out(name, 750 if name.startswith("antmaze") else 450)
    assert columns["timeouts"].any() or name.startswith("hopper")
    if not timeouts:
        del columns["timeouts"]
    path = write(tmp_path / "a.hdf5", columns)
    import d4rl as package
    import gym

    with quiet():
        theirs = package.qlearning_dataset(gym.make(name), h5path=str(path))
    ours = d4rl.load(name, path=path).train
    shift = 1 if name.startswith("antmaze") else 0
    np.testing.assert_array_equal(ours.observations[ours.index], theirs["observations"])
    np.testing.assert_array_equal(ours.actions, np.clip(theirs["actions"], -(1 - 1e-5), 1 - 1e-5))
    np.testing.assert_array_equal(ours.rewards, theirs["rewards"] - shift)
    np.testing.assert_array_equal(ours.masks, 1 - theirs["terminals"])
    np.testing.assert_array_equal(ours.observations[ours.next_index], theirs["next_observations"])
    if not name.startswith("maze2d"):
        assert (ours.masks == 0).any()
    if name.startswith("antmaze"):
        assert set(np.unique(ours.rewards)) == {-1.0, 0.0}
    capfd.readouterr()


@needs_d4rl
@pytest.mark.parametrize("name", ["maze2d-umaze-v1", "maze2d-large-dense-v1"])
def test_collected_mazes_pay_what_the_environment_pays(name, tmp_path):
    """Row t holds the reward of its own state: what the environment pays at step t - 1."""
    path = d4rl_maze.collect(name, out=tmp_path / "maze.hdf5", steps=400, seed=2, noise=0.5)
    columns = read_hdf5(path)
    assert {key: column.shape for key, column in columns.items()} == {
        "observations": (400, 4),
        "actions": (400, 2),
        "rewards": (400,),
        "terminals": (400,),
        "timeouts": (400,),
        "infos/goal": (400, 2),
        "infos/qpos": (400, 2),
        "infos/qvel": (400, 2),
    }
    assert {str(column.dtype) for column in columns.values()} == {"float32", "bool"}
    assert np.abs(columns["actions"]).max() <= 1
    assert not columns["terminals"].any()
    assert len(np.unique(columns["rewards"])) > 1
    env = environments.make(name).unwrapped
    env.reset(seed=0)
    for row in range(0, 399):
        if row % env.spec.max_episode_steps == 0:
            env.reset(seed=0)
        env.set_state(columns["infos/qpos"][row], columns["infos/qvel"][row])
        observation, reward, *_ = env.step(columns["actions"][row])
        np.testing.assert_allclose(observation, columns["observations"][row + 1], atol=1e-4)
        assert reward == pytest.approx(columns["rewards"][row + 1], abs=1e-4)
    # The goal of the moment changes after a time-out and only there.
    changes = (columns["infos/goal"][1:] != columns["infos/goal"][:-1]).any(axis=1)
    np.testing.assert_array_equal(changes, columns["timeouts"][:-1])
    data = d4rl.load(name, path=path).train
    assert len(data) == 400 - len(np.union1d(np.flatnonzero(columns["timeouts"]), [399]))


@needs_d4rl
def test_a_collected_maze_depends_on_its_arguments_alone(tmp_path):
    def digest(file, seed=3, noise=0.5, steps=200):
        np.random.random(seed)
        return sha256(d4rl_maze.collect("maze2d-open-v0", out=tmp_path / file, steps=steps, seed=seed, noise=noise))

    state = np.random.get_state()[1].copy()
    first = sha256(d4rl_maze.collect("maze2d-open-v0", out=tmp_path / "0", steps=200, seed=3, noise=0.5))
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    code = (
        "import sys; from drol.sources.d4rl.maze2d import collect\n"
        "collect('maze2d-open-v0', out=sys.argv[1], steps=200, seed=3, noise=0.5)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "1")], check=True, capture_output=True)
    assert sha256(tmp_path / "1") == first == digest("2")
    assert len({first, digest("3", seed=4), digest("4", noise=0.1), digest("5", steps=201)}) == 4
    assert not [file for file in os.listdir(tmp_path) if file.startswith(".")]


@needs_d4rl
def test_the_controller_given_its_tables_acts_as_d4rls_own():
    env = environments.make("maze2d-medium-v1").unwrapped
    from d4rl.pointmaze.waypoint_controller import WaypointController

    maze = env.inner.str_maze_spec
    actions = []
    for controller in (d4rl_maze.waypoint_controller(maze), WaypointController(maze)):
        state, _ = env.reset(seed=2)
        for goal in ((1, 1), (6, 6), (1, 6)):
            for _ in range(40):
                action, _ = controller.get_action(state[:2], state[2:], np.array(goal, float))
                actions.append(action)
                state, *_ = env.step(action)
    np.testing.assert_array_equal(actions[:120], actions[120:])


@needs_d4rl
def test_collection_reports_progress_and_reaches_goals(tmp_path):
    seen = []
    path = d4rl_maze.collect(
        "maze2d-open-v0", out=tmp_path / "m.hdf5", steps=2000, noise=0.0, progress=lambda *a: seen.append(a)
    )
    columns = read_hdf5(path)
    assert seen == [(1000, 2000), (2000, 2000)]
    reached = np.flatnonzero(columns["timeouts"])
    assert len(reached) > 10
    # The controller steers to the middle of the goal's cell.
    away = columns["observations"][reached, :2] - np.round(columns["infos/goal"][reached])
    assert np.linalg.norm(away, axis=1).max() < 0.11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "pen-human-v1"}, "maze2d tasks only"),
        ({"name": "maze2d-tiny-v1"}, "unknown D4RL task"),
        ({"steps": 1}, "at least 2 steps"),
        ({"noise": -1.0}, "noise of 0 or more"),
        ({"seed": -1}, r"from 0 to 2\^64 - 1"),
    ],
)
def test_what_cannot_be_collected_is_refused(tmp_path, arguments, message):
    arguments = {"name": "maze2d-umaze-v1", "steps": 10, "noise": 0.5, "out": tmp_path / "a.hdf5"} | arguments
    with pytest.raises((DataError, ValueError), match=message):
        d4rl_maze.collect(arguments.pop("name"), **arguments)
