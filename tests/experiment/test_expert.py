"""`drol expert`: an ant is trained, judged, and kept only if it passes."""

import dataclasses
import shutil

import numpy as np
import pytest

from drol.experiment import expert
from drol.sources.ogbench.actors import load_actor
from tests.helpers.commands import drol as command
from tests.helpers.commands import error_of


@pytest.fixture
def recipe(monkeypatch):
    """Fifty updates of a small ant, judged by two episodes; returns what sets the least that passes."""
    tiny = dataclasses.replace(
        expert.RECIPES["ant"],
        hyperparameters={"hidden": (8, 8)},
        online=dataclasses.replace(expert.RECIPES["ant"].online, steps=100, warm_up=50, eval_every=100),
    )

    def passing_at(least):
        monkeypatch.setitem(expert.RECIPES, "ant", dataclasses.replace(tiny, least=least))

    monkeypatch.setattr(expert, "GATE_EPISODES", 2)
    return passing_at


def train(out, *more):
    return command("expert", "ant", "--out", out, "--seed", 3, "--workers", 1, *more)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Where one training is kept for all tests."""
    return tmp_path_factory.mktemp("experts")


@pytest.fixture
def trained(shared, recipe, tmp_path):
    """A copy of the run, without an actor."""
    if not (shared / "ant").exists():
        recipe(least=np.inf)
        assert train(shared) == 1
    shutil.copytree(shared / "ant", tmp_path / "ant")
    return tmp_path


def test_one_that_passes_is_kept_with_its_record(trained, recipe, monkeypatch, capsys):
    judged, evaluate = [], expert.evaluate
    monkeypatch.setattr(expert, "evaluate", lambda policy, *a, **b: judged.append(policy) or evaluate(policy, *a, **b))
    recipe(least=-1e9)
    assert train(trained, "--resume") == 0
    said = capsys.readouterr().out
    assert f"the actor is {trained / 'ant.npz'}" in said
    assert "metres in the commanded directions per 1,000 steps over 2 episodes" in said
    actor = load_actor("ant", trained)
    record = actor.record
    assert (record["seed"], record["steps"], record["updates"], record["episodes"]) == (3, 100, 50, 2)
    assert record["return"] == pytest.approx(np.mean(record["returns"]), abs=1e-3)
    # What is judged is what is stored.
    for (weight, bias), (w, b) in zip(expert.layers_of(judged[0], 29), actor.layers, strict=True):
        np.testing.assert_array_equal(weight, w)
        np.testing.assert_array_equal(bias, b)


@pytest.mark.parametrize("least", [1e9, np.nan])
def test_one_that_does_not_pass_is_not_kept(least, trained, recipe, capsys):
    recipe(least=least)
    assert train(trained, "--resume") == 1
    assert f"and {least:g} are needed: it did not pass, and no actor is kept" in capsys.readouterr().out
    assert not (trained / "ant.npz").exists()


def test_there_are_recipes_for_two(tmp_path, capsys):
    assert "expected one of ant, antball, found 'humanoid'" in error_of(capsys, "expert", "humanoid", "--out", tmp_path)


@pytest.mark.slow
def test_the_recipe_walks_after_two_fifths(tmp_path):
    """160,000 steps, half an hour on one core: it has stopped falling over and walks."""
    judged = expert.train_expert("ant", tmp_path, steps=160_000, workers=1, progress=False)
    assert judged.value > 30
