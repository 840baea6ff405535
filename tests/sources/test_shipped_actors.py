"""The ants that come with the package: they are what their records say, walk, and collect data with goals in them."""

import numpy as np
import pytest

import drol
from drol.environments.groups import EnvironmentGroup
from drol.experiment.expert import GATE_EPISODES, GATE_SEED, RECIPES
from drol.sources import parse_task
from drol.sources.ogbench import ants
from drol.sources.ogbench.actors import INPUTS, SHIPPED, load_actor
from drol.sources.ogbench.collection import collect, parse_collection
from drol.sources.ogbench.experts import Collector
from drol.sources.ogbench.online import EXPERTS
from tests.helpers.commands import drol as command

NAMES = sorted(path.stem for path in SHIPPED.glob("*.npz"))


def test_the_walking_ant_comes_with_the_package():
    assert "ant" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_how_its_actor_was_trained_and_that_it_passed(name):
    actor = load_actor(name)
    recipe = RECIPES[name]
    record = actor.record
    assert record["expert"] == name
    assert record["steps"] <= recipe.online.steps
    assert record["updates"] == recipe.online.updates_per_step * (record["steps"] - recipe.online.warm_up)
    assert record["episodes"] == len(record["returns"]) == GATE_EPISODES
    assert record[recipe.measure] >= recipe.least
    assert (SHIPPED / f"{name}.npz").stat().st_size < 300_000
    assert all(np.isfinite(array).all() for layer in actor.layers for array in layer)


# -- the walking ant


def walk(seeds):
    """Metres in the commanded directions of one episode for each seed."""
    actor, group = load_actor("ant"), EnvironmentGroup(parse_task(EXPERTS["ant"]).environment, 1)
    returns = []
    for seed in seeds:
        step, total = group.reset({0: seed})[0], 0.0
        done = False
        while not done:
            step = group.step({0: actor(step.observation)})[0]
            total += step.reward
            done = step.terminated or step.truncated
        returns.append(total)
    return returns


def test_it_walks_where_it_is_sent():
    assert np.mean(walk(range(5))) > 60, "one in six falls over"


@pytest.mark.slow
def test_it_passes_its_gate_again():
    again = walk(range(GATE_SEED, GATE_SEED + GATE_EPISODES))
    assert np.mean(again) >= RECIPES["ant"].least
    assert np.mean(again) == pytest.approx(load_actor("ant").record["return"], rel=0.1)


ACTIONS = {
    "ant": [
        [-0.377597, -0.908969, -0.361481, 0.659703, 0.772884, -0.879508, -0.920874, 0.33831],
        [0.868899, 0.94221, -0.391709, -0.770268, -0.69536, -0.973796, -0.650517, -0.991341],
        [-0.802312, 0.942679, 0.545286, -0.930344, 0.750312, -0.919189, -0.236789, -0.881278],
    ]
}
"""What each does at the three states of `states`; float32 sums are rounded differently by different processors."""


def states(inputs):
    """Standing, on its back, and somewhere in between."""
    return np.stack([np.zeros(inputs), np.linspace(-1, 1, inputs), np.cos(np.arange(inputs))]).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_its_actions_are_those_of_the_day_it_was_shipped(name):
    actor = load_actor(name)
    np.testing.assert_allclose([actor(state) for state in states(INPUTS[name])], ACTIONS[name], atol=2e-5)


# -- data


@pytest.fixture(scope="module")
def mazes(tmp_path_factory):
    """Ten episodes in the medium maze."""
    out = tmp_path_factory.mktemp("mazes") / "antmaze-medium-navigate-v0.npz"
    collect("antmaze-medium-navigate", out=out, episodes=10, seed=0, workers=2)
    return out


def test_it_reaches_goals(monkeypatch):
    """In the medium maze: 4.6 in 1,000 steps over 30 episodes; fewer where one falls over."""
    reached = []
    act = ants.AntRecorder._act

    def counted(self, *given):
        following, done, success = act(self, *given)
        reached.append(success)
        return following, done, success

    monkeypatch.setattr(ants.AntRecorder, "_act", counted)
    collection = parse_collection("antmaze-medium-navigate")
    collector = Collector(collection, 1_001)
    for number in range(5):
        collector.episode(1, number)
    assert len(reached) >= 5_000
    assert np.mean(reached) * 1_000 > 1.5


def test_what_it_collects_crosses_the_maze(mazes):
    with np.load(mazes) as arrays:
        places = arrays["qpos"][:, :2].reshape(10, 1_001, 2)
        upright = 1 - 2 * (arrays["qpos"][:, 4] ** 2 + arrays["qpos"][:, 5] ** 2)
    steps = np.linalg.norm(np.diff(places, axis=1), axis=-1)
    assert steps.sum(1).mean() > 60
    assert len({tuple(cell) for cell in np.round(places.reshape(-1, 2) / 4).astype(int)}) >= 20
    assert np.mean(upright < 0) < 0.5


def test_its_data_hold_successes_of_the_tasks(mazes):
    """The rewards of the loader are those of the task: 0 at its goal, -1 elsewhere."""
    found = []
    for task in range(1, 6):
        data = drol.load_data(f"antmaze-medium-navigate-singletask-task{task}-v0", path=mazes)
        found.append(int((np.asarray(data.train.rewards) == 0).sum()))
    assert sum(found) > 0


@pytest.mark.ci
def test_the_main_command_works_from_an_empty_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    size = ("--updates", 4, "--eval-every", 4, "--hidden", 8, "--eval-episodes", 1, "--workers", 1)
    task = "antmaze-large-navigate-singletask-task1-v0"
    assert command("train", task, "--collect", 1, "--eval-max-steps", 20, *size) == 0
    assert "drol's experts (ant), not the published set" in capsys.readouterr().out
