"""Requests to stop during an evaluation: heeded at once, nothing lost, nothing done twice."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from drol.signals import raise_if_stopped, request_stop
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

BOUND = 5.0
"""Seconds in which a stop is heeded."""

VICTIM = """
import sys
from drol.training.folder import RunFolder
from drol.training.keeper import Run
from drol.training.run import train_runs
from tests.helpers.toy_evaluation import toy_evaluation
from tests.helpers.toy_run import PROBES, SETTINGS, algorithm, data

with toy_evaluation(fault=sys.argv[2], while_there=sys.argv[3], stalled=sys.argv[4]) as evaluate:
    (outcome,) = train_runs([Run(algorithm(), RunFolder(sys.argv[1]), SETTINGS, evaluate, probes=PROBES)], data())
print(outcome.stopped_by, int(outcome.state.step))
"""


def test_a_stop_during_a_hung_step_is_heeded_and_the_resumed_run_is_identical(tmp_path):
    folder, signs, stalled = new_folder(tmp_path / "run"), tmp_path / "broken", tmp_path / "stalled"
    signs.touch()
    command = [sys.executable, "-W", "ignore", "-c", VICTIM, *map(str, (folder.path, "hang", signs, stalled))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not stalled.exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.stdout.read() == f"{signal.SIGTERM.value} 20\n"
        process.wait()
        assert time.monotonic() - began < BOUND
    assert process.returncode == 0
    assert latest(folder) == 20
    assert folder.evaluations.read() == []
    undisturbed = new_folder(tmp_path / "undisturbed")
    with toy_evaluation() as evaluate:
        expected = run(undisturbed, evaluate=evaluate, validation=None)
        assert_identical(run(folder, evaluate=evaluate, validation=None), expected)
    assert records(folder) == records(undisturbed)
    assert [line["update"] for line in folder.evaluations.read()] == [20] * 3 + [40] * 3


def runs(folder, evaluate, settings=SETTINGS):
    return train_runs([Run(algorithm(), folder, settings, evaluate, probes=PROBES)], data(), validation=data(1))


@pytest.mark.parametrize("update", [20, 40])
def test_a_stop_before_an_evaluation_leaves_it_to_the_resumed_run(undisturbed, tmp_path, update):
    """The last one too: a run whose last evaluation is missing was stopped, and is not finished."""

    def stopping(policy, now):
        if now == update:
            request_stop()
            raise_if_stopped()
        return fake_evaluation(policy, now)

    folder = new_folder(tmp_path / "run")
    (outcome,) = runs(folder, stopping)
    assert outcome.stopped_by == signal.SIGTERM
    assert int(outcome.state.step) == update
    assert max((line["update"] for line in folder.evaluations.read()), default=0) < update
    (outcome,) = runs(folder, fake_evaluation)
    assert outcome.stopped_by is None
    assert_identical(outcome.state, undisturbed[1])
    assert records(folder) == records(undisturbed[0])


def test_a_stop_in_the_last_chunk_leaves_the_last_evaluation_pending(undisturbed, tmp_path):
    class LastLine:
        """Asks to stop after the last line before the last chunk."""

        def write(self, update, metrics):
            if update == 35:
                os.kill(os.getpid(), signal.SIGTERM)

        def close(self):
            pass

    folder = new_folder(tmp_path / "run")
    watched = Run(algorithm(), folder, SETTINGS, fake_evaluation, [LastLine()], probes=PROBES)
    (outcome,) = train_runs([watched], data(), validation=data(1))
    assert outcome.stopped_by == signal.SIGTERM
    (outcome,) = runs(folder, fake_evaluation)
    assert outcome.stopped_by is None
    assert records(folder) == records(undisturbed[0])


def test_elapsed_seconds_grow_and_go_on_after_a_resume(tmp_path):
    folder = new_folder(tmp_path / "run")

    def slow(policy, update):
        time.sleep(0.3)
        return fake_evaluation(policy, update)

    runs(folder, slow)
    elapsed = [line["elapsed_seconds"] for line in folder.metrics.read()]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] > 0.6
    runs(folder, slow, dataclasses.replace(SETTINGS, updates=60))
    after = [line["elapsed_seconds"] for line in folder.metrics.read()]
    assert after[: len(elapsed)] == elapsed
    assert after == sorted(after)
    assert after[-1] > elapsed[-1] + 0.3


def test_an_incomplete_evaluation_has_no_means(tmp_path):
    """What the limit of time left is recorded, marked, and not mistaken for an evaluation."""

    def hurried(policy, update):
        episodes = fake_evaluation(policy, update)
        return episodes if update == 40 else [episode | {"planned": 7} for episode in episodes[:2]]

    folder = new_folder(tmp_path / "run")
    run(folder, evaluate=hurried)
    first, last = (line for line in folder.metrics.read() if line["update"] in (20, 40))
    assert {name: value for name, value in first.items() if name.startswith("evaluation/")} == {
        "evaluation/episodes": 2,
        "evaluation/planned": 7,
        "evaluation/error": "ended by its time limit: 2 of 7 episodes finished",
    }
    assert last["evaluation/episodes"] == 3
    assert "evaluation/cut" not in last
    assert [line.get("planned") for line in folder.evaluations.read()] == [7, 7, None, None, None]


def test_episodes_that_were_cut_are_counted(tmp_path):
    folder = new_folder(tmp_path / "run")
    run(folder, evaluate=lambda policy, update: [e | {"cut": "step limit"} for e in fake_evaluation(policy, update)])
    assert folder.metrics.read()[-1]["evaluation/cut"] == 3
    assert folder.metrics.read()[-1]["evaluation/episodes"] == 3
