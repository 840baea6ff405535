"""Online runs: acting and learning in turn, repeatable from the seed alone, and resumed exactly."""

import dataclasses
import signal

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from drol.online.explorer import Explorer
from drol.online.loop import Prior
from drol.signals import request_stop
from drol.training.checkpoint import Checkpoints
from drol.training.keeper import initial
from tests.helpers.samples import sampled
from tests.helpers.toy_online import ONLINE, SETTINGS, SINGLE, SPEC, StopAt, online_records, train
from tests.helpers.toy_run import algorithm, assert_identical, data, latest, new_folder


def test_a_run_leaves_its_records(undisturbed):
    folder, state = undisturbed
    metrics, evaluations, episodes, _ = online_records(folder)
    assert int(state.step) == 48
    assert [line["update"] for line in metrics] == [8, 16, 24, 32, 40, 48]
    # 24 steps to warm up, then two for each update.
    assert [line["step"] for line in metrics] == [40, 56, 72, 88, 104, 120]
    assert [line["update"] for line in metrics if "evaluation/return" in line] == [16, 32, 48]
    assert {line["update"] for line in evaluations} == {16, 32, 48}
    assert sum(line["exploration/episodes"] for line in metrics) == len(episodes) > 2
    for number, episode in enumerate(sorted(episodes, key=lambda line: line["episode"])):
        assert episode["episode"] >= number
        assert episode["return"] == -episode["length"]
        assert isinstance(episode["success"], bool)


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_repeat_bit_by_bit_for_any_number_of_workers(undisturbed, tmp_path, workers):
    folder = new_folder(tmp_path / "again")
    assert_identical(train(folder, workers=workers).state, undisturbed[1])
    assert online_records(folder) == online_records(undisturbed[0])


def test_evaluations_change_nothing(undisturbed, tmp_path):
    folder = new_folder(tmp_path / "unjudged")
    assert_identical(train(folder, evaluate=None).state, undisturbed[1])


@pytest.mark.parametrize("update", sampled([8, 16, 24, 40], [8, 24]))
def test_a_stopped_run_resumes_exactly(undisturbed, tmp_path, update):
    folder = new_folder(tmp_path / "run")
    outcome = train(folder, sinks=[StopAt(update)])
    assert outcome.stopped_by == signal.SIGTERM
    assert int(outcome.state.step) == update == latest(folder)
    assert_identical(train(folder, workers=2).state, undisturbed[1])
    assert online_records(folder) == online_records(undisturbed[0])


@pytest.mark.parametrize(("block", "update"), [(2, 0), (7, 8)])
def test_a_stop_while_acting_leaves_whole_lines(undisturbed, tmp_path, monkeypatch, block, update):
    """In the warm-up (three blocks), and in the second block of the second line: both are done again from its start."""
    folder, real, blocks = new_folder(tmp_path / "run"), Explorer.block, []

    def stopping(self, policy, steps):
        blocks.append(steps)
        if len(blocks) == block:
            request_stop()
        return real(self, policy, steps)

    with monkeypatch.context() as patch:
        patch.setattr(Explorer, "block", stopping)
        outcome = train(folder)
    assert outcome.stopped_by == signal.SIGTERM
    assert int(outcome.state.step) == update
    assert_identical(train(folder).state, undisturbed[1])
    assert online_records(folder) == online_records(undisturbed[0])


def test_a_continued_run_that_was_not_sealed_begins_again(tmp_path, monkeypatch):
    """Interrupted after the first checkpoint was written, and before it was vouched for."""
    state, key, _ = initial(algorithm(), SPEC, 1)
    state = eqx.tree_at(lambda s: s.step, state, jnp.asarray(8, jnp.int32))
    prior = Prior(SPEC, SINGLE, data, (state, key))
    settings = dataclasses.replace(SETTINGS, start=8, updates=56)
    expected = train(new_folder(tmp_path / "undisturbed"), prior=prior, settings=settings).state
    folder = new_folder(tmp_path / "run")

    def interrupted(self):
        if self._unsealed is not None:
            self._manager.wait_until_finished()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(folder, prior=prior, settings=settings)
    assert latest(folder) is None
    assert_identical(train(folder, prior=prior, settings=settings).state, expected)


def test_a_finished_run_is_not_trained_again(undisturbed):
    before = online_records(undisturbed[0])
    assert_identical(train(undisturbed[0]).state, undisturbed[1])
    assert online_records(undisturbed[0]) == before


def test_a_run_can_go_on_for_longer(undisturbed, tmp_path):
    """The longer run from the start, and the one that was extended, are the same: room changes nothing."""
    longer = {
        "online": dataclasses.replace(ONLINE, steps=152),
        "settings": dataclasses.replace(SETTINGS, updates=64),
    }
    once, twice = new_folder(tmp_path / "once"), new_folder(tmp_path / "twice")
    expected = train(once, **longer).state
    train(twice)
    assert_identical(train(twice, **longer).state, expected)


def test_from_nothing(tmp_path):
    """No data: random first steps, and batches of what was done since."""
    folder = new_folder(tmp_path / "run")
    online = dataclasses.replace(ONLINE, warm_up_by="random")
    state = train(folder, online=online, prior=Prior(SPEC, SINGLE)).state
    assert int(state.step) == 48
    again = new_folder(tmp_path / "again")
    train(again, online=online, prior=Prior(SPEC, SINGLE), sinks=[StopAt(24)])
    assert_identical(train(again, online=online, prior=Prior(SPEC, SINGLE)).state, state)
    other = new_folder(tmp_path / "other")
    acted = dataclasses.replace(online, warm_up_by="policy")
    different = train(other, online=acted, prior=Prior(SPEC, SINGLE)).state
    assert any(bool((a != b).any()) for a, b in zip(jax.tree.leaves(different), jax.tree.leaves(state), strict=True))
