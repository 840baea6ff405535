"""Evaluations beside training: the same records at the same updates, whatever happens meanwhile."""

import contextlib
import dataclasses
import signal
import threading
import time

import pytest

from drol.processes import WorkerError
from drol.signals import raise_if_stopped, request_stop
from drol.training.background import Background
from drol.training.checkpoint import Checkpoints
from drol.training.keeper import Run
from drol.training.run import train_runs
from tests.helpers.toy_evaluation import toy_evaluation
from tests.helpers.toy_run import (
    PROBES,
    SETTINGS,
    algorithm,
    assert_identical,
    data,
    fake_evaluation,
    latest,
    new_folder,
    records,
    run,
)

PATIENCE = 60.0


class Watched:
    """A sink that is told of every line at once, and lets others wait for one."""

    live = True

    def __init__(self):
        self.lines: list[tuple[int, dict]] = []
        self._news = threading.Condition()

    def write(self, update, metrics):
        with self._news:
            self.lines.append((update, dict(metrics)))
            self._news.notify_all()

    def close(self):
        pass

    def await_update(self, update):
        with self._news:
            assert self._news.wait_for(lambda: any(seen >= update for seen, _ in self.lines), PATIENCE)


class Ordered(Watched):
    """A sink that is told of lines in order."""

    live = False


def beside(folder, evaluate, *sinks, count=1, settings=SETTINGS, width=1, table=None):
    """Train with evaluations in the background; the outcomes."""
    folders = [folder] if count == 1 else folder
    with contextlib.closing(Background()) as background:
        runs = [
            Run(
                algorithm(),
                one,
                dataclasses.replace(settings, seed=settings.seed + number),
                evaluate,
                sinks,
                probes=PROBES,
                background=background,
            )
            for number, one in enumerate(folders)
        ]
        return train_runs(runs, data() if table is None else table, validation=data(1), width=width)


def test_the_records_are_those_of_evaluations_that_training_waits_for(undisturbed, tmp_path):
    folder, ordered = new_folder(tmp_path / "run"), Ordered()
    (outcome,) = beside(folder, fake_evaluation, ordered)
    assert_identical(outcome.state, undisturbed[1])
    assert records(folder) == records(undisturbed[0])
    assert [update for update, _ in ordered.lines] == [line["update"] for line in folder.metrics.read()]
    elapsed = [line["elapsed_seconds"] for line in folder.metrics.read()]
    assert elapsed == sorted(elapsed)


def test_real_episodes_are_the_same_too(tmp_path):
    alone, other = new_folder(tmp_path / "alone"), new_folder(tmp_path / "beside")
    with toy_evaluation() as evaluate:
        expected = run(alone, evaluate=evaluate)
        (outcome,) = beside(other, evaluate)
    assert_identical(outcome.state, expected)
    assert records(other) == records(alone)


def test_training_goes_on_and_waits_where_the_next_evaluation_is_due(tmp_path):
    """The evaluation at 20 ends only after update 35 has been seen, and update 40 only after it has been recorded."""
    folder, watched, ordered, recorded = new_folder(tmp_path / "run"), Watched(), Ordered(), []

    def slow(policy, update):
        if update == 20:
            watched.await_update(35)
            recorded.extend(line["update"] for line in folder.metrics.read())
        if update == 40:
            assert [line["update"] for line in folder.evaluations.read()] == [20] * 3
        return fake_evaluation(policy, update)

    beside(folder, slow, watched, ordered)
    assert recorded == [5, 10, 15], "later lines are held back"
    assert [line["update"] for line in folder.metrics.read()] == [*range(5, 45, 5)]
    assert [update for update, _ in ordered.lines] == [*range(5, 45, 5)]
    seen = [(update, "evaluation/return" in line) for update, line in watched.lines]
    assert seen[3:8] == [(20, False), (25, False), (30, False), (35, False), (20, True)]
    assert seen[8:] == [(40, False), (40, True)], "what was shown is not shown again"


@pytest.mark.parametrize(("update", "seen"), [(20, 35), (40, 40)])
def test_a_stop_goes_back_to_the_evaluation_that_it_ended(undisturbed, tmp_path, update, seen):
    folder, watched = new_folder(tmp_path / "run"), Watched()

    def stopping(policy, now):
        if now == update:
            watched.await_update(seen)
            request_stop()
            raise_if_stopped()
        return fake_evaluation(policy, now)

    (outcome,) = beside(folder, stopping, watched)
    assert outcome.stopped_by == signal.SIGTERM
    assert int(outcome.state.step) == latest(folder) == update
    assert max(line["update"] for line in folder.metrics.read()) == update - 5
    (outcome,) = beside(folder, fake_evaluation)
    assert outcome.stopped_by is None
    assert_identical(outcome.state, undisturbed[1])
    assert records(folder) == records(undisturbed[0])


def test_a_stop_after_an_evaluation_keeps_what_was_trained_since(undisturbed, tmp_path):
    folder = new_folder(tmp_path / "run")

    class Stops(Watched):
        def write(self, update, metrics):
            super().write(update, metrics)
            if update == 20 and "evaluation/return" in metrics:
                request_stop()

    watched = Stops()

    def slow(policy, update):
        if update == 20:
            watched.await_update(25)
        return fake_evaluation(policy, update)

    (outcome,) = beside(folder, slow, watched)
    assert outcome.stopped_by == signal.SIGTERM
    assert latest(folder) > 20
    (outcome,) = beside(folder, fake_evaluation)
    assert records(folder) == records(undisturbed[0])


def test_a_failed_evaluation_is_reported_at_its_update(tmp_path, caplog):
    folder, watched = new_folder(tmp_path / "run"), Watched()

    def failing(policy, update):
        if update == 20:
            watched.await_update(30)
            raise WorkerError("made up")
        return fake_evaluation(policy, update)

    beside(folder, failing, watched)
    lines = {line["update"]: line for line in folder.metrics.read()}
    assert [update for update, line in lines.items() if "evaluation/error" in line] == [20]
    assert "evaluation/return" in lines[40]
    assert "the evaluation at update 20 failed" in caplog.text


def test_a_run_that_diverges_meanwhile_keeps_its_evaluation(tmp_path):
    folder, table = new_folder(tmp_path / "run"), data()
    beside(folder, fake_evaluation, settings=dataclasses.replace(SETTINGS, updates=20))
    folder.metrics.cut(15)
    folder.evaluations.cut(15)
    broken = dataclasses.replace(table, rewards=table.rewards.at[:].set(float("nan")))
    ended = []

    def slow(policy, update):
        time.sleep(1.0)
        ended.append(folder.divergence.exists())
        return fake_evaluation(policy, update)

    (outcome,) = beside(folder, slow, table=broken)
    assert outcome.divergence is not None
    assert ended == [False]
    assert [line["update"] for line in folder.evaluations.read()] == [20] * 3
    assert [line["update"] for line in folder.metrics.read()] == [5, 10, 15, 20]


def test_runs_that_share_a_program_are_evaluated_in_turn(tmp_path):
    folders = [new_folder(tmp_path / f"run{number}") for number in range(3)]
    together: list[int] = []
    most: list[int] = []

    def evaluate(policy, update):
        together.append(update)
        most.append(len(together))
        result = fake_evaluation(policy, update)
        together.pop()
        return result

    outcomes = beside(folders, evaluate, count=3, width=3)
    assert max(most) == 1
    for number, (folder, outcome) in enumerate(zip(folders, outcomes, strict=True)):
        alone = new_folder(tmp_path / f"alone{number}")
        run(alone, dataclasses.replace(SETTINGS, seed=SETTINGS.seed + number))
        assert int(outcome.state.step) == 40
        assert [line["update"] for line in folder.metrics.read()] == [line["update"] for line in alone.metrics.read()]
        assert len(folder.evaluations.read()) == len(alone.evaluations.read())


def test_an_error_in_training_does_not_wait_for_an_evaluation(tmp_path):
    folder, interrupted, began = new_folder(tmp_path / "run"), threading.Event(), threading.Event()

    class Full(Watched):
        def write(self, update, metrics):
            if update == 25:
                assert began.wait(PATIENCE)
                raise OSError("made up")

    def endless(policy, update):
        began.set()
        assert interrupted.wait(PATIENCE)
        raise WorkerError("interrupted")

    with contextlib.closing(Background(interrupted.set)) as background:
        one = Run(algorithm(), folder, SETTINGS, endless, [Full()], probes=PROBES, background=background)
        with pytest.raises(OSError, match="made up"):
            train_runs([one], data(), validation=data(1))
    assert interrupted.is_set()


def test_runs_of_one_program_stay_together_after_a_stop(tmp_path):
    """The checkpoint of the evaluation to which one of them goes back is there for all of them."""
    folders = [new_folder(tmp_path / f"run{number}") for number in range(2)]
    settings, watched, calls = dataclasses.replace(SETTINGS, keep_last=1), Watched(), []

    def second_is_stopped(policy, update):
        calls.append(update)
        if len(calls) == 2:
            watched.await_update(35)
            request_stop()
            raise_if_stopped()
        return fake_evaluation(policy, update)

    outcomes = beside(folders, second_is_stopped, watched, count=2, width=2, settings=settings)
    assert [int(outcome.state.step) for outcome in outcomes] == [35, 20]
    with contextlib.closing(Checkpoints(folders[0].checkpoints)) as checkpoints:
        assert checkpoints.updates() == [20, 35]
