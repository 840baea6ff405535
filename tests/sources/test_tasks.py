"""What a name on the command line means."""

import numpy as np
import pytest

from drol import sources as tasks
from drol.environments.flatten import flatten
from drol.errors import DataError
from drol.sources import environment_of, environment_of_task, parse_task, read_log
from drol.sources.registry import D4RL, MINARI, OGBENCH, OWN
from tests.helpers.own_logs import walk


@pytest.mark.parametrize(
    ("name", "source", "label", "environment"),
    [
        ("scene-play-singletask-task2-v0", OGBENCH, None, ("gymnasium", "ogbench:scene-singletask-task2-v0")),
        ("pen-human-v1", D4RL, None, ("d4rl", "pen-human-v1")),
        ("antmaze-umaze-v2", D4RL, None, ("d4rl", "antmaze-umaze-v2")),
        ("minari:D4RL/pen/human-v2", MINARI, "minari-D4RL-pen-human-v2", ("minari", "D4RL/pen/human-v2")),
    ],
)
def test_names_are_told_apart(name, source, label, environment):
    task = parse_task(name)
    assert (task.name, task.source, task.label) == (name, source, label or name)
    assert (task.environment.kind, task.environment.id) == environment


def test_a_path_is_a_log_of_ones_own(tmp_path):
    task = parse_task(str(tmp_path / "robot.npz"), environment="tests.helpers.toy_environment:DrolToy-v0")
    assert (task.source, task.label, task.name) == (OWN, "robot", str(tmp_path / "robot.npz"))
    assert task.environment.id == "tests.helpers.toy_environment:DrolToy-v0"
    assert parse_task(str(tmp_path)).source is OWN
    assert parse_task(str(tmp_path / "robot.npz")).environment is None


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cube-single-play-singletask-task9-v0", "cube-single-play-singletask-task1-v0"),
        ("pen-humans-v1", "pen-human-v1"),
        ("antmaze-umaze-v1", "antmaze-umaze-v2"),
    ],
)
def test_unknown_names_hear_of_the_nearest(name, near):
    with pytest.raises(DataError, match=r"unknown task.*the nearest known is") as caught:
        parse_task(name)
    assert near.rsplit("-", 1)[0].rsplit("-task", 1)[0] in str(caught.value)


def test_an_environment_is_a_task_or_what_gymnasium_knows():
    assert environment_of("pen-human-v1").kind == "d4rl"
    assert environment_of("cube-single-play-singletask-v0").id == "ogbench:cube-single-singletask-v0"
    assert environment_of("CartPole-v1").kind == "gymnasium"


def test_an_environment_that_is_not_there_is_told():
    for name in ("Pendulum-v99", "no_such_module:X-v0", "Nonsense"):
        with pytest.raises(DataError, match=f"there is no environment '{name}'"):
            environment_of(name)
    assert environment_of("none") is None


def test_a_log_that_a_file_names_has_no_environment(tmp_path):
    for name in (str(tmp_path / "log.npz"), str(tmp_path / "LOG.H5"), str(tmp_path / "folder"), "log.hdf", None):
        assert environment_of_task(name, "here") is None
    assert environment_of_task("CartPole-v1", "here").id == "CartPole-v1"


def test_a_folder_named_like_a_task_is_no_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene-play-singletask-task2-v0").mkdir()
    assert parse_task("scene-play-singletask-task2-v0").source is OGBENCH


def test_observations_are_flattened_in_alphabetical_order():
    nested = {"b": np.array([3.0]), "a": {"z": np.array([[1.0], [2.0]]), "y": (np.array(0.0),)}}
    np.testing.assert_array_equal(flatten(nested), [0, 1, 2, 3])


def test_options_that_do_not_go_with_a_task_are_refused(tmp_path):
    with pytest.raises(DataError, match="leave --data out"):
        tasks.load(parse_task(str(tmp_path / "robot.npz")), path=tmp_path)
    with pytest.raises(DataError, match="action bounds can be given only for your own data"):
        tasks.load(parse_task("pen-human-v1"), bounds=(np.zeros(1), np.ones(1)))


def test_the_environments_bounds_serve_where_a_log_states_none(tmp_path):
    columns = walk()
    columns["actions"] = np.append(columns["actions"], columns["actions"][:, :1], axis=1) * 2 - 1
    np.savez(tmp_path / "log.npz", **columns)
    scaled = "tests.helpers.toy_environment:DrolToyScaled-v0"
    data = tasks.load(parse_task(str(tmp_path / "log.npz"), environment=scaled))
    np.testing.assert_array_equal(data.units.action_low, [-3, -3, -3])
    np.testing.assert_array_equal(data.units.action_high, [1, 1, 1])


def test_the_doctor_reads_ogbench_files_with_and_without_a_task(tmp_path):
    states, terminals = np.zeros((5, 2)), np.array([0, 0, 1, 0, 1])
    path = tmp_path / "maze.npz"
    np.savez(path, observations=states, actions=np.zeros((5, 2)), terminals=terminals, qpos=states)
    log = read_log(str(path))
    assert log.rows.tolist() == [0, 1, 3]
    assert log.rewards is None
    assert log.ends.tolist() == [False, True, True]
    assert set(log.states) == {"qpos"}
    labelled = read_log("pointmaze-medium-navigate-singletask-task1-v0", path)
    assert labelled.rewards.tolist() == [-1, -1, -1]
    np.savez(path, **walk())
    assert len(read_log(str(path))) == len(walk()["rewards"])
