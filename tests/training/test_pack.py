"""Runs side by side: each is what it would have been alone, whatever happens to its neighbours."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.benchmarks.scaling import exchanged
from drol.errors import DataError
from drol.training import pack as module
from drol.training.keeper import Keeper, Run, initial
from drol.training.pack import Pack, fastest_width
from drol.training.run import train_runs
from tests.helpers.samples import sampled
from tests.helpers.toy_run import (
    SETTINGS,
    algorithm,
    assert_identical,
    data,
    fake_evaluation,
    latest,
    members,
    new_folder,
    records,
    run,
)


def assert_close(ours, theirs):
    """Up to the order of summation: 40 updates of Adam let a last digit grow."""
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-5)


def some_runs(path, *, sinks=(), algorithms=None):
    """Seeds 3 and 4, the second with another `bc_coef`."""
    algorithms = algorithms or [algorithm(), algorithm(bc_coef=3.0)]
    return [
        Run(one, new_folder(path / f"seed{seed}"), dataclasses.replace(SETTINGS, seed=seed), fake_evaluation, sinks)
        for seed, one in zip((3, 4), algorithms, strict=True)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same runs, each by itself."""
    runs = some_runs(tmp_path_factory.mktemp("alone"))
    return runs, [train_runs([one], data(), validation=data(1))[0].state for one in runs]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    runs = some_runs(tmp_path_factory.mktemp("together"))
    return runs, [outcome.state for outcome in train_runs(runs, data(), validation=data(1), width=2)]


def test_one_program_after_the_other_is_each_run_alone_bit_by_bit(alone, tmp_path):
    runs = some_runs(tmp_path)
    for outcome, mine, other, state in zip(train_runs(runs, data(), validation=data(1)), runs, *alone, strict=True):
        assert_identical(outcome.state, state)
        assert records(mine.folder) == records(other.folder)
        assert outcome.divergence is outcome.stopped_by is None


def test_one_program_for_all_draws_what_each_would_have_drawn(alone, together):
    """Other draws would show at once; the order of summation may differ."""
    for mine, state, other, expected in zip(*together, *alone, strict=True):
        assert_close(state, expected)
        (metrics, evaluations, *_), (metrics_alone, evaluations_alone, *_) = records(mine.folder), records(other.folder)
        assert [line.keys() for line in metrics] == [line.keys() for line in metrics_alone]
        assert [line["critic_loss"] for line in metrics] == pytest.approx(
            [line["critic_loss"] for line in metrics_alone], rel=1e-3
        )
        assert len(evaluations) == len(evaluations_alone)
    first, second = (jax.tree.leaves(state)[0] for state in together[1])
    assert not np.allclose(first, second), "and the two differ from each other"


class StopAt:
    """A sink that sends a signal when a run comes to an update."""

    def __init__(self, update, number=signal.SIGTERM):
        self.update, self.number = update, number

    def write(self, update, metrics):
        if update == self.update:
            self.update = None
            os.kill(os.getpid(), self.number)

    def close(self):
        pass


@pytest.mark.parametrize("stop_at", sampled([20, 25], [20]))
def test_a_stopped_pack_resumes_exactly(together, tmp_path, stop_at):
    """At 20 the first run has evaluated and the second has not: it does so after the resumption."""
    runs = some_runs(tmp_path, sinks=[StopAt(stop_at)])
    stopped = train_runs(runs, data(), validation=data(1), width=2)
    assert [outcome.stopped_by for outcome in stopped] == [signal.SIGTERM] * 2
    assert [latest(one.folder) for one in runs] == [stop_at] * 2
    for outcome, mine, other, state in zip(
        train_runs(runs, data(), validation=data(1), width=2), runs, *together, strict=True
    ):
        assert_identical(outcome.state, state)
        assert records(mine.folder) == records(other.folder)


def test_one_run_of_a_pack_goes_on_alone_and_the_pack_after_it(together, tmp_path):
    runs = some_runs(tmp_path, sinks=[StopAt(20)])
    train_runs(runs, data(), validation=data(1), width=2)
    (outcome,) = train_runs(runs[1:], data(), validation=data(1))
    assert_close(outcome.state, together[1][1])
    outcomes = train_runs(runs, data(), validation=data(1), width=2)
    for outcome, mine, other, state in zip(outcomes, runs, *together, strict=True):
        assert_close(outcome.state, state)
        assert len(records(mine.folder)[0]) == len(records(other.folder)[0])


def test_runs_of_a_pack_that_came_unequally_far_meet_again(together, tmp_path):
    """As after a kill between their checkpoints: both go on from the last update that both have."""
    runs = some_runs(tmp_path, sinks=[StopAt(35)])
    train_runs(runs, data(), validation=data(1), width=2)
    for name in ("35.json", "35"):
        (runs[0].folder.checkpoints / name).rename(tmp_path / name)
    outcomes = train_runs(runs, data(), validation=data(1), width=2)
    for outcome, mine, other, state in zip(outcomes, runs, *together, strict=True):
        assert_identical(outcome.state, state)
        assert records(mine.folder) == records(other.folder)


def test_each_program_goes_on_from_where_it_was(tmp_path, monkeypatch):
    """Four runs in two programs: stopped while one is ahead, then with one finished, nothing is undone."""
    bases = some_runs(tmp_path / "a", sinks=[StopAt(25)]) + some_runs(tmp_path / "b")
    resume, starts = Keeper.resume, []

    def noting(self, update):
        starts.append(update)
        resume(self, update)

    monkeypatch.setattr(Keeper, "resume", noting)
    train_runs(bases, data(), width=2)
    assert [latest(one.folder) for one in bases] == [25, 25, 20, 20]
    bases[2].sinks = [StopAt(40)]
    train_runs(bases, data(), width=2)
    assert starts[4:] == [25, 25, 20, 20]
    assert [latest(one.folder) for one in bases] == [40, 40, 40, 40]
    bases = [Run(one.algorithm, one.folder, dataclasses.replace(one.settings, updates=60)) for one in bases]
    train_runs(bases[:1], data())
    train_runs(bases, data(), width=2)
    assert starts[9:] == [60, 40, 40, 40]


def test_a_run_that_diverges_is_set_aside_and_the_other_untouched(together, tmp_path, caplog):
    # The first update throws the parameters to the edge of float32; the loss of the second is no number any more.
    runs = some_runs(tmp_path, algorithms=[algorithm(learning_rate=1e37), algorithm(bc_coef=3.0)])
    bad, good = train_runs(runs, data(), validation=data(1), width=2)
    assert "was refused" in bad.divergence
    assert "try a smaller learning rate" in bad.divergence
    assert "loss" in bad.divergence
    assert any("was refused" in record.message for record in caplog.records)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(bad.state))
    facts = json.loads((tmp_path / "seed3" / "diverged.json").read_text())
    assert facts["update"] == int(bad.state.step) < 5
    assert facts["metrics"]
    assert latest(runs[0].folder) == facts["update"]
    assert good.divergence is None
    assert_identical(good.state, together[1][1])
    assert records(runs[1].folder) == records(together[0][1].folder)
    again, _ = train_runs(runs, data(), validation=data(1), width=2)
    assert again.divergence == bad.divergence
    assert_identical(again.state, bad.state)


def test_a_bad_transition_is_named(tmp_path):
    clean = data()
    broken = dataclasses.replace(clean, rewards=clean.rewards.at[jnp.array([17, 101])].set(jnp.nan))
    run_alone = Run(algorithm(), new_folder(tmp_path / "run"), SETTINGS)
    (outcome,) = train_runs([run_alone], broken)
    facts = json.loads(run_alone.folder.divergence.read_text())
    assert set(facts["transitions"]) <= {17, 101}
    assert facts["transitions"]
    assert facts["metrics"] == ["critic_loss"]
    assert f"in transitions {facts['transitions'][0]}" in outcome.divergence
    # The update before is the last good one of an undisturbed run, too.
    (steps,) = (int(outcome.state.step),)
    state, key, _ = initial(algorithm(), clean.spec, SETTINGS.seed)
    if steps:
        pack = Pack([(algorithm(), state, key)], clean)
        pack.train(batch_size=SETTINGS.batch_size, length=steps)
        assert_close(outcome.state, pack.state(0))


def test_a_pack_over_four_devices_equals_one_device_and_communicates_nothing():
    four = jax.devices()[:4]
    assert len(four) == 4
    packs = [Pack(members(4), data()), Pack(members(4), data(), devices=four)]
    for pack in packs:
        pack.train(batch_size=16, length=20)
    assert jax.tree.leaves(packs[1]._state)[0].sharding.device_set == set(four)
    for number in range(4):
        assert_close(packs[1].state(number), packs[0].state(number))
        assert packs[1].state(number).step.devices() == {jax.devices()[0]}
    assert exchanged(packs[1].compiled(batch_size=16, length=20).as_text()) == {}


def test_what_does_not_fit_together_is_refused(tmp_path):
    runs = some_runs(tmp_path)
    runs[1].settings = dataclasses.replace(runs[1].settings, batch_size=8)
    with pytest.raises(ValueError, match="may differ only in the seed"):
        train_runs(runs, data())
    state, key, _ = initial(algorithm(), data().spec, 0)
    wider = dataclasses.replace(algorithm(), num_candidates=8)
    with pytest.raises(ValueError, match="continuous hyperparameters only"):
        Pack([(algorithm(), state, key), (wider, state, key)], data())


def test_the_width_that_pays_is_found(monkeypatch):
    """Seconds of one chunk by width: 2 is worth its while, 4 is not; and memory may end the search."""
    now, seconds, limit = 0.0, {1: 1.0, 2: 1.2, 4: 2.39}, 4

    def trained(self, **_):
        nonlocal now
        now += seconds[self.size]
        if self.size > limit:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(Pack, "train", trained)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    assert fastest_width(members(4), data(), batch_size=16) == 2
    seconds[4] = 1.3
    assert fastest_width(members(4), data(), batch_size=16) == 4
    limit = 2
    assert fastest_width(members(4), data(), batch_size=16) == 2


def test_a_second_process_is_kept_out(tmp_path):
    folder = new_folder(tmp_path / "run")
    with folder.locked(), folder.locked(), pytest.raises(DataError, match=f"ID {os.getpid()}.*is training in"):
        run(type(folder)(folder.path))
    assert int(run(folder).step) == 40
