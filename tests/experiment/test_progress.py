"""What a terminal, a pipe and a log show while a run trains."""

import io
import time
import types

import pytest
import rich
import rich.console

from drol.experiment import progress
from drol.experiment.progress import TrainingProgress, counting

METRICS = {"updates_per_second": 50.0, "actor_loss": 0.4123, "critic_loss": 0.0217}
SCORED = METRICS | {"evaluation/episodes": 20, "evaluation/success": 0.35, "evaluation/return": -120.0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    clock = types.SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress.Lines, "__enter__", lambda self: self)
    monkeypatch.setattr(progress.Lines, "__exit__", lambda self, *_: None)
    return clock


def test_an_evaluation_is_a_line_with_elapsed_and_remaining_time(clock, capsys):
    with TrainingProgress(1000) as shown:
        run = shown.of("training")
        clock.now = 60.0  # the compilation
        run.write(100, METRICS)
        assert capsys.readouterr().out == ""
        clock.now = 70.0
        run.write(200, SCORED)
    (line,) = capsys.readouterr().out.splitlines()
    # 100 updates took 10 s: 800 take 80 s, whatever the compilation took.
    assert line == "update      200  success 0.35 (20 episodes)  return -120.0  (0:01:10 elapsed, 0:01:20 left)"


def test_the_first_estimate_leaves_the_compilation_out(clock):
    with TrainingProgress(1000) as shown:
        run = shown.of("training")
        clock.now = 300.0
        run.write(500, METRICS)
        assert run.state(named=False).endswith("0:05:00 elapsed, 0:00:10 left")
        run.write(1000, METRICS)
        assert run.state(named=False).endswith("0:05:00 elapsed")


def test_a_resumed_run_is_judged_by_what_was_done_since(clock):
    with TrainingProgress(10_000) as shown:
        run = shown.of("training")
        run.write(9000, METRICS)
        clock.now = 100.0
        run.write(9500, METRICS)
        assert run.state(named=False).endswith("0:01:40 elapsed, 0:01:40 left")


def test_what_does_not_exist_is_not_shown(clock, capsys):
    with TrainingProgress(100) as shown:
        shown.of("training").write(50, METRICS | {"evaluation/episodes": 3, "evaluation/return": 1.5})
    assert "success" not in (out := capsys.readouterr().out)
    assert "return 1.5" in out


def test_runs_that_are_trained_together_have_their_names(clock, capsys):
    with TrainingProgress(100) as shown:
        first, second = shown.of("bc_coef1-seed0"), shown.of("bc_coef3-seed0")
        assert shown._state().startswith("bc_coef1-seed0: compiling")
        for run in (first, second):
            run.write(50, SCORED)
        assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
            "bc_coef1-seed0",
            "bc_coef3-seed0",
        ]
        second.evaluating(3, 20)
        assert shown._state().startswith("bc_coef3-seed0: update 50 of 100, evaluating: 3 of 20 episodes")


def next_line(capsys):
    """The next line that is printed, awaited for ten seconds."""
    capsys.readouterr()
    for _ in range(200):
        time.sleep(0.05)
        if out := capsys.readouterr().out:
            return out.splitlines()[-1]
    raise AssertionError("nothing was printed")


def test_a_log_gets_a_line_at_least_every_half_minute(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.1)
    with TrainingProgress(100) as shown:
        run = shown.of("training")
        assert next_line(capsys).startswith("compiling, 0:00:")
        run.write(50, METRICS)
        words = "update 50 of 100, 50 updates/s, actor_loss 0.412, critic_loss 0.0217, 0:00:"
        assert next_line(capsys).startswith(words)
        run.evaluating(7, 20)
        assert next_line(capsys).startswith("update 50 of 100, evaluating: 7 of 20 episodes, 0:00:")
    capsys.readouterr()
    time.sleep(0.25)
    assert capsys.readouterr().out == "", "nothing is printed after the end"


def test_a_closed_output_does_not_end_training_from_another_thread(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.05)

    def refuse(*_, **__):
        raise OSError("closed")

    monkeypatch.setattr("builtins.print", refuse)
    with TrainingProgress(100):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_short_work_leaves_no_line_and_long_work_its_count(monkeypatch, capsys):
    with counting("collecting") as show:
        show(1, 2)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.1)
    with counting("collecting") as show:
        show(40, 165)
        assert next_line(capsys) == "collecting: 40 of 165"


@pytest.fixture(params=[80, 200])
def terminal(request, monkeypatch):
    """A terminal of some width, which renders what it is asked to show."""
    console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=request.param, color_system=None)
    monkeypatch.setattr(rich, "_console", console)
    monkeypatch.setattr(progress, "_has_terminal", lambda: True)
    return console


def rendered(terminal, shown):
    page = rich.console.Console(file=io.StringIO(), width=terminal.width, color_system=None)
    page.print(shown.bars.get_renderable())
    return [line.rstrip() for line in page.file.getvalue().splitlines()]


@pytest.mark.parametrize("name", ["training", "learning_rate0.0003-seed3"])
def test_a_terminal_shows_one_whole_line_for_each_run(terminal, name):
    with TrainingProgress(45_000) as shown:
        run, _ = shown.of(name), shown.of("other")
        first, *_ = rendered(terminal, shown)
        assert first.startswith(name)
        assert first.endswith("compiling")
        run.write(1000, METRICS)
        run.write(5000, SCORED | {"updates_per_second": 1234.0})
        run.write(6000, METRICS | {"updates_per_second": 1234.0})
        lines = rendered(terminal, shown)
        assert len(lines) == 2
        assert len(lines[0]) <= terminal.width
        for part in (name, "6000/45000", "left", "1234/s", "success 0.35"):
            assert part in lines[0]
        assert ("actor_loss 0.412" in lines[0]) == (terminal.width == 200)
        run.evaluating(12, 20)
        assert "evaluating 12/20" in rendered(terminal, shown)[0]
