"""Minari data sets: values, boundaries, units, the environments they name, and damage of every kind."""

import contextlib
import copy
import json
import shutil
import sys
import tempfile
from pathlib import Path

import gymnasium
import h5py
import hypothesis
import hypothesis.strategies as st
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text, Tuple
from minari.data_collector import EpisodeBuffer

from drol.data.checks import ACTION_LIMIT
from drol.errors import DataError
from drol.extras import MissingExtraError, quiet
from drol.seeding import reset_seeded
from drol.sources import environment
from drol.sources.minari.environments import make
from drol.sources.minari.reading import load, read
from drol.sources.minari.recorded import check_recorded
from tests.helpers.minari_environments import HIGH, LOW, Reach

NOT_AN_ENVIRONMENT = "tests.helpers.minari_environments:not_an_environment"
REACH, MATRIX, BARE = "test/reach-v0", "test/matrix-v0", "bare-v3"
EPISODES = 21
BOX = Box(-1, 1, (1,))


def collect(env_id, name):
    """Make a data set; returns what was seen on the way, episode by episode."""
    env = minari.DataCollector(gymnasium.make(env_id))
    env.action_space.seed(0)
    episodes = []
    for seed in range(EPISODES):
        observations, actions, rewards, over = [env.reset(seed=seed)[0]], [], [], False
        while not over:
            actions.append(env.action_space.sample())
            observation, reward, terminated, truncated, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
            over = terminated or truncated
        episodes.append((copy.deepcopy(observations), actions, rewards, terminated, truncated))
    env.create_dataset(name, requirements=["no-such-package>=3"])
    env.close()
    return episodes


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Two data sets with environments and one without, and what was recorded in the first two."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch, quiet():
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        seen = {REACH: collect("DrolReach-v0", REACH), MATRIX: collect("DrolMatrix-v0", MATRIX)}
        make_dataset(BARE, BOX, BOX, np.zeros((4, 1)), np.zeros((3, 1)), copies=2)
    return root, seen


def make_dataset(name, observation_space, action_space, observations, actions, copies=1, truncations=None):
    """A data set of equal episodes in no environment."""
    steps = len(actions)
    episodes = [
        EpisodeBuffer(
            observations=observations,
            actions=actions,
            rewards=np.zeros(steps),
            terminations=np.zeros(steps, bool),
            truncations=np.zeros(steps, bool) if truncations is None else np.array(truncations),
        )
        for _ in range(copies)
    ]
    with quiet():
        minari.create_dataset_from_buffers(
            name, episodes, observation_space=observation_space, action_space=action_space
        )


@pytest.fixture(scope="module")
def source(collected):
    return collected[0]


@pytest.fixture
def root(source, tmp_path, monkeypatch):
    """A copy of the data sets, to be read and damaged."""
    shutil.copytree(source, tmp_path / "sets")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    return tmp_path / "sets"


@pytest.fixture
def seen(collected):
    return collected[1]


def by_hand(observation):
    """A row of Reach's observations: keys in alphabetical order."""
    goal, (first, second) = observation["goal"], observation["pair"]
    parts = [observation["bits"], [goal["kind"]], goal["x"], first, second.ravel(), observation["where"]]
    return np.concatenate(parts).astype(float)


def test_every_recorded_number_is_read_in_its_place(root, seen):
    log = read(REACH)
    step = 0
    for observations, actions, rewards, terminated, truncated in seen[REACH]:
        rows = np.array([by_hand(observation) for observation in observations])
        chosen = slice(step, step + len(actions))
        np.testing.assert_array_equal(log.observations[log.index[chosen]], rows[:-1])
        np.testing.assert_array_equal(log.observations[log.next_index[chosen]], rows[1:])
        np.testing.assert_array_equal(log.actions[chosen], actions)
        np.testing.assert_array_equal(log.rewards[chosen], rewards)
        last = np.arange(len(actions)) == len(actions) - 1
        np.testing.assert_array_equal(log.terminated[chosen], last & terminated)
        np.testing.assert_array_equal(log.truncated[chosen], last & truncated)
        np.testing.assert_array_equal(log.ends[chosen], last)
        step += len(actions)
    assert len(log) == step == 11 * 3 + 10 * 5
    assert log.observations.shape == (step + EPISODES, 9)
    np.testing.assert_array_equal(log.rows, np.arange(step))
    np.testing.assert_array_equal(log.action_low, LOW)
    np.testing.assert_array_equal(log.action_high, HIGH)


def test_boxes_are_read_in_c_order(root, seen):
    log = read(MATRIX)
    observations, actions, *_ = seen[MATRIX][0]
    np.testing.assert_array_equal(log.observations[: len(observations)], np.reshape(observations, (-1, 6)))
    np.testing.assert_array_equal(log.actions[: len(actions)], np.reshape(actions, (-1, 4)))


def test_training_data_are_rescaled_held_out_and_recorded(root):
    log, data = read(REACH), load(REACH)
    assert data.validation is not None
    assert data.units is not None
    assert len(data.train) + len(data.validation) == len(log)
    np.testing.assert_array_equal(data.validation.masks, 1 - log.terminated[-5 - 3 :][:5])  # the twentieth episode
    assert np.abs(data.train.actions).max() <= ACTION_LIMIT
    back = data.units.action_outward(data.train.actions[:8])
    np.testing.assert_allclose(back, log.actions[:8], atol=1e-4)
    assert np.abs(data.train.actions - log.actions[: len(data.train)]).max() > 1
    assert (data.train.masks == 0).sum() == 11
    ends = data.train.next_action_index == np.arange(len(data.train))
    assert ends.sum() == EPISODES - 1
    assert data.source["kind"] == "minari"
    assert data.source["dataset"] == REACH
    assert [file["name"] for file in data.source["files"]] == ["main_data.hdf5", "metadata.json"]
    assert {len(file["sha256"]) for file in data.source["files"]} == {64}
    assert data.source["files"][0]["bytes"] == (root / REACH / "data" / "main_data.hdf5").stat().st_size


def test_an_episode_cut_without_a_word_ends_and_goes_on_earning(root):
    data = load(BARE)
    assert data.validation is None
    assert data.units is None
    np.testing.assert_array_equal(data.train.masks, 1)
    np.testing.assert_array_equal(data.train.next_action_index, [1, 2, 2, 4, 5, 5])
    np.testing.assert_array_equal(data.train.index, [0, 1, 2, 4, 5, 6])
    np.testing.assert_array_equal(data.train.next_index, [1, 2, 3, 5, 6, 7])


def test_a_flag_in_the_middle_of_an_episode_ends_it_there(root):
    make_dataset("two-v0", BOX, BOX, np.zeros((4, 1)), np.zeros((3, 1)), truncations=[False, True, False])
    np.testing.assert_array_equal(read("two-v0").ends, [False, True, True])
    np.testing.assert_array_equal(load("two-v0").train.next_action_index, [1, 1, 2])


def test_actions_without_bounds_state_none(root):
    make_dataset("free-v0", BOX, Box(-np.inf, np.inf, (1,)), np.zeros((3, 1)), np.zeros((2, 1)))
    assert read("free-v0").action_low is None


def test_values_too_large_for_training_are_named(root):
    make_dataset("big-v0", BOX, BOX, np.full((3, 1), 1e300), np.zeros((2, 1)))
    with pytest.raises(DataError, match=r"big-v0.*'observations' has 3 NaN or infinite"):
        load("big-v0")


KINDS = {
    "the action space must be a Box": (BOX, Discrete(3), np.zeros((3, 1)), np.zeros(2, int)),
    "'observations/eye' holds images": (
        Dict({"eye": Box(0, 255, (4, 4, 3), np.uint8)}),
        BOX,
        {"eye": np.zeros((3, 4, 4, 3), np.uint8)},
        np.zeros((2, 1)),
    ),
    "'observations/0' must hold numbers": (Tuple([Text(4)]), BOX, (["ab"] * 3,), np.zeros((2, 1))),
}


@pytest.mark.parametrize("words", KINDS)
def test_what_cannot_be_learnt_from_is_refused(root, words):
    make_dataset("odd-v0", *KINDS[words])
    with pytest.raises(DataError, match=rf"odd-v0.*{words}"):
        read("odd-v0")


def test_the_recorded_environment_is_made_again(root):
    env = environment(f"minari:{REACH}").make()
    observation, _ = reset_seeded(env, 4)
    assert observation.shape == env.observation_space.shape == (9,)
    np.testing.assert_array_equal(env.action_space.low, LOW)
    steps = 0
    while True:
        steps += 1
        _, _, terminated, truncated, _ = env.step(HIGH)
        if terminated or truncated:
            break
    assert (steps, terminated) == (3, True)
    assert env.spec.max_episode_steps == 5
    env.close()


def test_matrices_are_laid_in_rows_in_the_environment_too(root):
    env = environment(f"minari:{MATRIX}").make()
    observation, _ = reset_seeded(env, 1)
    assert observation.shape == env.observation_space.shape == (6,)
    assert env.action_space.shape == (4,)
    assert env.step(np.array([0.1, 0.2, 0.3, 0.4], np.float32))[1] == pytest.approx(1.0)


def edit(root, name, **changes):
    """Change keys of a data set's metadata; None takes one away."""
    file = root / name / "data" / "metadata.json"
    metadata = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in metadata.items() if value is not None}))
    return metadata


def edit_spec(root, **changes):
    spec = json.loads(edit(root, REACH)["env_spec"]) | changes
    edit(root, REACH, env_spec=json.dumps(spec), eval_env_spec=None)


def test_the_environment_named_for_evaluation_comes_first(root):
    spec = json.loads(edit(root, REACH)["env_spec"])
    edit(root, REACH, eval_env_spec=json.dumps(spec | {"max_episode_steps": 3}))
    assert make(REACH).spec.max_episode_steps == 3
    edit(root, REACH, eval_env_spec=json.dumps(spec | {"entry_point": NOT_AN_ENVIRONMENT}))
    with pytest.raises(DataError, match="nothing was called"):
        make(REACH)


def test_a_data_set_without_environment_is_told(root):
    with pytest.raises(DataError, match=r"'bare-v3' does not say which environment"):
        make(BARE)


@pytest.mark.parametrize("name", [REACH, "test/absent-v0", "D4RL/pointmaze/umaze-v2"])
def test_an_absent_data_set_has_no_environment(root, name):
    shutil.rmtree(root / "test")
    with pytest.raises(DataError, match=rf"'{name}' is not in {root}/{name}/data; fetch it with `minari download"):
        make(name)


def test_an_environment_whose_package_is_missing_names_it(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    edit_spec(root, entry_point="gymnasium_robotics.envs.maze.point_maze:PointMazeEnv")
    with pytest.raises(
        MissingExtraError, match=r"DrolReach-v0, needs the package 'gymnasium_robotics.*no-such-package>=3"
    ):
        make(REACH)


def test_an_environment_that_lacks_a_package_of_its_own_is_told(root, monkeypatch):
    def lack(self):
        raise gymnasium.error.DependencyNotInstalled("install the simulator")

    monkeypatch.setattr(Reach, "__init__", lack)
    with pytest.raises(MissingExtraError, match=r"needs a package, which is not installed \(install the simulator\)"):
        make(REACH)


@pytest.mark.parametrize("changes", [{"entry_point": "gymnasium.envs.mujoco:Gone"}, {"kwargs": {"odd": 1}}])
def test_an_environment_that_cannot_be_made_is_told(root, changes):
    edit_spec(root, **changes)
    with pytest.raises(DataError, match=r"DrolReach-v0, cannot be made \(\w+Error.*no-such-package>=3"):
        make(REACH)


WRAPPER = {"name": "Odd", "entry_point": NOT_AN_ENVIRONMENT, "kwargs": {}}


NO_CLASS = {"entry_point": "tests.helpers.minari_environments:NoEnvironment"}


@pytest.mark.parametrize(
    "changes",
    [{"entry_point": WRAPPER["entry_point"]}, {"additional_wrappers": [WRAPPER]}, NO_CLASS],
    ids=["function", "wrapper", "class"],
)
def test_a_data_set_has_nothing_called_but_environments(root, changes):
    edit_spec(root, **changes)
    with pytest.raises(DataError, match=r"(not_an_e|NoE)nvironment.*nothing was called"):
        make(REACH)
    edit(root, REACH, observation_space=None)  # now reading needs the environment as well
    with pytest.raises(DataError, match="nothing was called"):
        read(REACH)


def wrapper(entry_point, **kwargs):
    return {"additional_wrappers": [{"name": "W", "entry_point": entry_point, "kwargs": kwargs}]}


REFUSED = {
    "a module": {"entry_point": "drol_hooks:Env"},
    "a module in a wrapper": wrapper("drol_hooks:Wrapper"),
    "a video": wrapper("gymnasium.wrappers.rendering:RecordVideo", video_folder="FOLDER/videos"),
    "a video by its old name": wrapper("gymnasium.wrappers.record_video:RecordVideo", video_folder="FOLDER/videos"),
    "a video by its short name": wrapper("gymnasium.wrappers:RecordVideo", video_folder="FOLDER/videos"),
    "a window": wrapper("gymnasium.wrappers:HumanRendering"),
    "a function as a wrapper": wrapper("gymnasium.wrappers:TransformReward", func="drol_hooks:f"),
    "a wrapper's other argument": wrapper("gymnasium.wrappers:TimeLimit", max_episode_steps=3, folder=3),
    "a wrapper's path": wrapper("gymnasium.wrappers:FilterObservation", filter_keys=["FOLDER/x"]),
    "a path": {"kwargs": {"xml_file": "FOLDER/model.xml"}},
    "a path within": {"kwargs": {"maze_map": [["FOLDER/map"]]}},
    "a word of no use": {"kwargs": {"log": "here"}},
    "a module as an argument": {"kwargs": {"reward_type": "drol_hooks:f"}},
    "a window of its own": {"kwargs": {"render_mode": "human"}},
    "no environment": {"entry_point": "gymnasium.envs.registration:make", "kwargs": {"maze_map": "Pendulum-v1"}},
    "no class": {"entry_point": "gymnasium.envs.mujoco.mujoco_env:DEFAULT_SIZE"},
    "a class of another kind": {"entry_point": "gymnasium.envs.mujoco.mujoco_rendering:MujocoRenderer"},
    "no text": {"entry_point": ["drol_hooks:Env"]},
    "no wrapper": {"additional_wrappers": ["drol_hooks:Wrapper"]},
    "no arguments": {"kwargs": "drol_hooks"},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_data_set_names_no_module_no_file_and_no_wrapper_that_writes(root, tmp_path, monkeypatch, what):
    """Whether its environment is asked for, or needed to read it: nothing is imported and nothing is written."""
    sign = tmp_path / "hooks" / "imported"
    sign.parent.mkdir()
    (sign.parent / "drol_hooks.py").write_text(f"open({str(sign)!r}, 'w')\nEnv = Wrapper = f = None\n")
    monkeypatch.syspath_prepend(sign.parent)
    monkeypatch.delitem(sys.modules, "drol_hooks", raising=False)
    edit_spec(root, **json.loads(json.dumps(REFUSED[what]).replace("FOLDER", str(tmp_path))))
    with pytest.raises(DataError, match=r"nothing was called|describes its environment in a way|WrapperSpec|EnvSpec"):
        make(REACH)
    edit(root, REACH, observation_space=None)
    with pytest.raises(DataError, match=r"nothing was called|describes its environment in a way"):
        read(REACH)
    assert "drol_hooks" not in sys.modules
    assert not sign.exists()
    assert not (tmp_path / "videos").exists()


def test_a_description_means_the_same_to_whoever_reads_it(root):
    """minari takes some texts out before it reads, which must not uncover another name."""
    edit_spec(root, kwargs="HERE")
    arguments = '{"log": "/somewhere", "y\\"order_enforce": true,"log": 3}'
    text = edit(root, REACH)["env_spec"].replace('"HERE"', arguments)
    assert json.loads(text)["kwargs"]["log"] == 3
    assert json.loads(text.replace('"order_enforce": true,', ""))["kwargs"]["log"] == "/somewhere"
    edit(root, REACH, env_spec=text, eval_env_spec=None)
    with pytest.raises(DataError, match="in a way that cannot be read"):
        make(REACH)
    edit(root, REACH, env_spec='{"kwargs":' + "[" * 100_000, eval_env_spec=None)
    with pytest.raises(DataError, match=r"in a way that cannot be read|cannot be read from"):
        make(REACH)


@pytest.mark.parametrize(
    "changes",
    [
        wrapper("gymnasium.wrappers.common:TimeLimit", max_episode_steps=2),
        wrapper("gymnasium.wrappers.time_limit:TimeLimit", max_episode_steps=2),
        wrapper("gymnasium.wrappers:TimeLimit", max_episode_steps=2) | {"kwargs": {"render_mode": "rgb_array"}},
    ],
)
def test_wrappers_that_compute_are_made(root, monkeypatch, changes):
    monkeypatch.setattr(Reach, "__init__", lambda self, render_mode=None: None)
    monkeypatch.setattr(Reach, "metadata", {"render_modes": ["rgb_array"], "render_fps": 1})
    monkeypatch.setitem(sys.modules, "gymnasium.wrappers.time_limit", gymnasium.wrappers)
    edit_spec(root, **changes)
    env = make(REACH)
    env.reset(seed=1)
    assert [env.step(HIGH)[3] for _ in range(2)] == [False, True]


def test_environments_as_data_sets_describe_them_pass():
    """Names and arguments of Minari's own data sets, without the packages."""
    maze = [[1, 1, 1], [1, "r", "g"], [1, 1, 1]]
    kitchen = {"tasks_to_complete": ["microwave", "bottom burner"], "terminate_on_tasks_completed": True}
    for entry_point, arguments in (
        ("gymnasium_robotics.envs.maze.point_maze:PointMazeEnv", {"maze_map": maze, "reward_type": "sparse"}),
        ("gymnasium_robotics.envs.maze.ant_maze_v4:AntMazeEnv", {"maze_map": maze, "continuing_task": True}),
        ("gymnasium_robotics.envs.franka_kitchen:KitchenEnv", kitchen | {"remove_task_when_completed": True}),
        ("gymnasium_robotics.envs.adroit_hand:AdroitHandPenEnv", {"reward_type": "dense"}),
        ("minigrid.envs.babyai.goto:GoToRedBallGrey", {}),
    ):
        text = json.dumps({"entry_point": entry_point, "kwargs": arguments, "additional_wrappers": []})
        with pytest.raises(ModuleNotFoundError):
            check_recorded(text, "a data set")
    for name in ("gymnasium.envs.mujoco.hopper_v5:HopperEnv", "gymnasium.envs.classic_control:PendulumEnv"):
        check_recorded(json.dumps({"entry_point": name, "kwargs": {"g": 9.8}, "additional_wrappers": []}), "a data set")


def test_a_registered_function_may_make_the_environment(root, monkeypatch):
    entry_point = "tests.helpers.minari_environments:reach_by_function"
    edit_spec(root, entry_point=entry_point)
    monkeypatch.setitem(gymnasium.registry, "Other-v0", gymnasium.envs.registration.EnvSpec("Other-v0", entry_point))
    assert isinstance(make(REACH).unwrapped, Reach)


def test_spaces_left_out_are_asked_of_the_environment(root):
    edit(root, REACH, observation_space=None, action_space=None)
    assert read(REACH).observations.shape[1] == 9


def test_without_the_data_set_minari_is_asked_for_it(root, monkeypatch, tmp_path, capsys):
    away = tmp_path / "away"
    shutil.move(root / REACH, away)
    told = []

    def fetch(name):
        assert name == REACH
        print("fetching")
        shutil.move(away, root / REACH)

    monkeypatch.setattr(minari, "download_dataset", fetch)
    assert len(load(REACH, progress=lambda *sizes: told.append(sizes)).train) > 0
    size = sum(file.stat().st_size for file in (root / REACH / "data").iterdir())
    assert told == [(size, size)]
    assert capsys.readouterr() == ("", "fetching\n")  # standard output is for results
    load(REACH)


def test_a_failed_download_names_the_other_ways(root, monkeypatch):
    def fail(name):
        raise ConnectionError("no network")

    monkeypatch.setattr(minari, "download_dataset", fail)
    with pytest.raises(DataError, match=rf"{root}/away-v1/data.*no network.*`minari download away-v1`.*{root}/away"):
        load("away-v1")


@pytest.mark.parametrize("name", ["reach", "test/reach", "", "../up-v0", "/etc-v0", "a b-v0", "hf://x/y-v0"])
def test_what_is_no_name_is_refused(root, name):
    for function in (load, make):
        with pytest.raises(DataError, match="is not the name of a Minari data set"):
            function(name)


def test_a_missing_minari_names_its_install_command(root, monkeypatch):
    import drol.extras

    monkeypatch.setattr(drol.extras.importlib.util, "find_spec", lambda name: None)
    for function in (load, make):
        with pytest.raises(ImportError, match=r"pip install .*-e '\.\[minari\]'"):
            function(REACH)


def rewrite(key, value):
    """A change of an HDF5 file: another value at `key`, or none at all."""

    def change(file):
        del file[key]
        if value is not None:
            file[key] = value

    return change


OBJECTS = np.array(["text"] * 3, object)
WHERE = "episode_2/observations/where"
DAMAGE = {
    "'rewards' must be numbers": rewrite("episode_2/rewards", OBJECTS),
    r"'rewards' must be numbers of shape \(steps\)": rewrite("episode_2/rewards", np.zeros((3, 1))),
    r"'actions' must be numbers of shape \(3, 2\), found \(4, 2\)": rewrite("episode_2/actions", np.zeros((4, 2))),
    r"'actions' must be numbers.*found \(3,\) of object": rewrite("episode_2/actions", OBJECTS),
    r"'observations/where' must be.*\(4, 2\), found \(3, 2\)": rewrite(
        "episode_2/observations/where", np.zeros((3, 2))
    ),
    r"'observations/where' must be.*complex": rewrite("episode_2/observations/where", np.zeros((4, 2), complex)),
    r"'observations/goal/x' is missing": rewrite("episode_2/observations/goal/x", None),
    r"'observations/pair/1' is missing": rewrite("episode_2/observations/pair/_index_1", None),
    r"KeyError.*observations": rewrite("episode_2/observations", None),
    r"cannot be read.*KeyError.*more": lambda file: file.create_dataset(
        "episode_2/observations/more", data=np.zeros(4)
    ),
    r"cannot be read.*episode_7": rewrite("episode_7", None),
    r"'terminations' must be true or false of shape \(3,\)": rewrite("episode_2/terminations", np.zeros(2, bool)),
    r"'truncations' must be 0 or 1, found 3": rewrite("episode_2/truncations", np.full(3, 3)),
}


@pytest.mark.parametrize("words", DAMAGE)
def test_episodes_that_do_not_fit_are_named(root, words):
    with h5py.File(root / REACH / "data" / "main_data.hdf5", "a") as file:
        DAMAGE[words](file)
    with pytest.raises(DataError, match=rf"{REACH}(?s:.*){words}"):
        read(REACH)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total_steps": 82}, "states 82 in total"),
        ({"total_steps": 84}, "states 84 steps in 21 episodes, but these hold 83"),
        ({"total_steps": 10**18}, "cannot be read"),
        ({"total_steps": "83"}, "'total_steps' should be a whole number"),
        ({"total_episodes": 20}, "states 83 steps in 20 episodes"),
        ({"total_episodes": 22}, "cannot be read"),
        ({"total_episodes": 0}, "'total_episodes' should be a whole number of at least 1"),
        ({"total_episodes": 10**9}, "more than fit"),
        ({"total_episodes": True}, "'total_episodes' should be"),
        ({"dataset_id": None, "total_steps": None}, "dataset_id, total_steps missing"),
        ({"data_format": "tape"}, "cannot be read.*tape"),
        ({"minari_version": "9.9.9"}, "cannot be read.*9.9.9"),
        ({"action_space": "{"}, "cannot be read.*JSONDecodeError"),
        ({"action_space": None, "env_spec": None}, "cannot be read"),
    ],
)
def test_metadata_that_do_not_fit_are_named(root, changes, words):
    edit(root, REACH, **changes)
    with pytest.raises(DataError, match=words):
        read(REACH)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("main_data.hdf5", None, "cannot be read"),
        ("main_data.hdf5", b"", "cannot be read"),
        ("main_data.hdf5", b"no such format", "cannot be read"),
        ("metadata.json", None, "metadata.json does not exist"),
        ("metadata.json", b"{", "metadata.json is not readable as JSON"),
        ("metadata.json", b"[]", "metadata.json should hold the metadata"),
    ],
)
def test_files_missing_or_broken_are_named(root, name, content, words):
    file = root / REACH / "data" / name
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DataError, match=rf"{REACH}.*{words}|{words}"):
        read(REACH)


def outcome(folder):
    """Load a damaged copy: it gives data or a DataError."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        for function in (load, make):
            message = REACH
            try:
                function(REACH)
            except (DataError, MissingExtraError) as error:
                message = str(error)
            assert REACH in message


def damaged(source, folder, name, content):
    target = Path(folder) / REACH / "data"
    shutil.copytree(source / REACH / "data", target)
    (target / name).write_bytes(content)


@hypothesis.given(data=st.data())
def test_bytes_flipped_or_cut_load_or_are_refused(source, data):
    content = bytearray((source / REACH / "data" / "main_data.hdf5").read_bytes())
    place = st.one_of(st.integers(0, 2000), st.integers(0, len(content) - 1))
    for position, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[position] = value
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    with tempfile.TemporaryDirectory() as folder:
        damaged(source, folder, "main_data.hdf5", bytes(content[:length]))
        outcome(folder)


KEYS = "action_space data_format dataset_id env_spec minari_version observation_space requirements total_episodes"
OTHER = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["{}", '{"type": "Box"}', ["a", 1], {"a": 1}]),
)
CHANGE = st.one_of(
    st.tuples(st.just("delete"), st.none()),
    st.tuples(st.just("replace"), OTHER),
    st.tuples(st.just("garble"), st.tuples(st.integers(0, 2000), st.sampled_from(["", "9", "}", '"', "-"]))),
)


@hypothesis.given(changes=st.dictionaries(st.sampled_from(KEYS.split()), CHANGE, max_size=3))
def test_metadata_garbled_load_or_are_refused(source, changes):
    metadata = json.loads((source / REACH / "data" / "metadata.json").read_text())
    for key, (what, change) in changes.items():
        value = metadata.pop(key)
        if what == "replace":
            metadata[key] = change
        elif what == "garble":
            text, where = json.dumps(value), change[0] % len(json.dumps(value))
            metadata[key] = text[:where] + change[1] + text[where + 1 :]
            with contextlib.suppress(json.JSONDecodeError):
                metadata[key] = json.loads(metadata[key])
    with tempfile.TemporaryDirectory() as folder:
        damaged(source, folder, "metadata.json", json.dumps(metadata).encode())
        outcome(folder)
