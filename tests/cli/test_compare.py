"""`drol compare`: what is trained, resumed and left alone, and what is refused."""

import dataclasses
import json
import os
import signal

import pytest

from drol.cli import compare as compare_command
from drol.compare import comparison as comparisons
from drol.compare.cells import Cell
from drol.compare.comparison import Budget
from drol.compare.methods import Method
from drol.compare.tables import caption, table
from tests.helpers.commands import TASK, assert_real_result, drol, error_of
from tests.helpers.made_up_runs import PROTOCOL, fill, write_run
from tests.helpers.pretended_training import GIVEN, SHA
from tests.helpers.samples import sampled
from tests.helpers.toy_logs import ENVIRONMENT, write_log


def test_a_comparison_from_nothing_and_again(compare, capsys):
    assert compare(*GIVEN) == 0
    collecting, first, second = compare.calls
    file = str(compare.out / "data" / "pointmaze-medium-navigate-v0.npz")
    assert collecting == ["collect", "pointmaze-medium-navigate-v0", "--episodes", "100", "--out", file]
    out = str(compare.out / TASK / "drol")
    shared = ["--seeds", "0,1,2", "--size", "laptop", "--updates", "40", "--eval-every", "10", "--eval-episodes", "20"]
    assert first == ["train", TASK, "--algorithm", "drol", *shared, "--out", out, "--data", file, "--requeue"]
    assert second[3] == "fql"
    assert "12.3" in capsys.readouterr().out
    stored = {path: path.read_bytes() for path in (compare.out / "results").rglob("*.*")}
    names = {str(path.relative_to(compare.out / "results")) for path in stored}
    assert names == {
        "comparison.json",
        "speed.json",
        "summary.json",
        "table.md",
        f"{TASK}/drol.json",
        f"{TASK}/fql.json",
    }
    markdown = (compare.out / "results" / "table.md").read_text()
    assert table(compare.out / "results") in markdown
    assert "| DROL | 0.50 ± 0.00 | 12.3 | 0.13 |" in markdown
    # Again, with numbers left out: nothing is trained, collected or measured, and the results are the same bytes.
    assert compare("--algorithms", "drol") == 0
    assert compare.calls == []
    assert compare.measured == [("drol", "fql")]
    assert {path: path.read_bytes() for path in stored} == stored
    # With nothing given at all, it is what it was, and no more tasks or methods join.
    assert compare(tasks=()) == 0
    assert compare.calls == []
    assert {path: path.read_bytes() for path in stored} == stored
    assert compare("--algorithms", "drol", "--no-train", "--speed") == 0
    assert compare.measured == [("drol", "fql")] * 2, "all algorithms, side by side"


def test_speeds_are_those_of_the_networks_that_are_compared(compare, tmp_path):
    wide = dataclasses.replace(PROTOCOL, hidden=(16, 16))
    compare_command._measure_speed(wide, tmp_path / "speed.json", again=False)
    assert compare.hidden == (16, 16)
    assert set(json.loads((tmp_path / "speed.json").read_text())["records"]) == set(wide.algorithms)


@pytest.mark.parametrize(
    ("number", "cells"),
    sampled([(signal.SIGINT, ["drol", "fql"]), (signal.SIGTERM, ["fql"])], [(signal.SIGINT, ["drol", "fql"])]),
)
def test_an_interrupted_cell_goes_on_with_the_same_arguments(compare, capsys, number, cells):
    """In the first cell, and in the last, after which only speeds would be left to measure."""
    before = signal.getsignal(number)
    assert compare(*GIVEN, **{cells[0]: "wait"}, signal=number) == 128 + number
    said = capsys.readouterr().out
    assert "run the same command again to resume" in said
    assert said.count(": training") == 3 - len(cells), "none is announced after it"
    assert signal.getsignal(number) is before
    begun = compare.calls[-1]
    assert begun[3] == cells[0], "nothing was started after it"
    assert compare.measured == []
    assert not (compare.out / "results" / TASK / f"{cells[0]}.json").exists()
    assert compare(*GIVEN, **{cells[0]: "wait"}) == 0
    assert [call[3] for call in compare.calls] == cells
    assert compare.calls[0] == begun
    assert compare.measured == [("drol", "fql")]


def test_a_signal_while_results_are_written_counts_too(compare, monkeypatch):
    """Everything is trained, no command is left to run, and only speeds are to be measured."""
    fill(Cell(compare.out, TASK, Method("drol")), *[(0,) * 4] * 3)
    monkeypatch.setattr(Cell, "write_result", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert compare(*GIVEN, "--algorithms", "drol") == 128 + signal.SIGTERM
    assert compare.calls == compare.measured == []


@pytest.mark.parametrize("number", sampled([signal.SIGINT, signal.SIGTERM], [signal.SIGTERM]))
def test_cells_that_train_at_once_stop_together_and_go_on(compare, number):
    assert compare(*GIVEN, "--jobs", 2, drol="wait", fql="wait", together=2, signal=number) == 128 + number
    assert sorted(call[3] for call in compare.calls if call[0] == "train") == ["drol", "fql"]
    assert compare.measured == []
    assert compare(*GIVEN, "--jobs", 2, drol="wait", fql="wait") == 0
    assert sorted(call[3] for call in compare.calls) == ["drol", "fql"]
    assert all(call[-1] == "--requeue" for call in compare.calls)
    assert "| DROL | 0.50 ± 0.00 |" in table(compare.out / "results")


def test_each_job_has_cores_and_a_log_of_its_own(compare, capfd):
    cores = os.sched_getaffinity(0)
    assert compare(*GIVEN, "--jobs", 2, drol="cores", fql="fail") == 1
    said = (compare.out / TASK / "drol.log").read_text()
    assert len(json.loads(said)) == len(cores) // 2 or len(cores) < 2
    assert set(json.loads(said)) <= cores
    assert os.sched_getaffinity(0) == cores
    assert (compare.out / TASK / "fql.log").read_text() == "made up\n"
    assert f"its message is in {compare.out / TASK / 'fql.log'}" in capfd.readouterr().err
    assert "must be at least 1, found 0" in error_of(capfd, "compare", TASK, "--out", compare.out, "--jobs", 0)


def test_failures_are_reported_and_stop_nothing_else(compare, capsys):
    assert compare(*GIVEN, drol="fail", fql="diverge") == 1
    said = capsys.readouterr()
    assert f"{TASK}/drol: `drol train` ended with exit status 1" in said.err
    assert f"{TASK}/fql: a run diverged" in said.err
    lines = (compare.out / "results" / "table.md").read_text().splitlines()
    assert lines[2].startswith("| FQL | diverged (3 of 3 seeds) |")
    assert lines[3].startswith("| DROL | not run |")
    # The failed cell is tried again, the diverged one is final.
    assert compare(*GIVEN) == 1
    assert [call[3] for call in compare.calls] == ["drol"]
    assert "DROL | 0.50" in table(compare.out / "results")


def test_longer_runs_and_more_seeds_extend_what_is_there(compare):
    assert compare(*GIVEN) == 0
    assert compare("--algorithms", "drol", "--updates", 60) == 0
    (call,) = compare.calls
    assert call[call.index("--updates") + 1] == "60"
    text = table(compare.out / "results")
    assert "| DROL | 0.50 ± 0.00 | " in text
    assert "| FQL | 0.50 ± 0.00 (40 updates) | " in text
    assert compare("--algorithms", "drol,fql", "--seeds", "0-3") == 0
    assert [call[5] for call in compare.calls] == ["0,1,2,3"] * 2
    assert "updates)" not in table(compare.out / "results")


def test_every_task_has_a_budget_of_its_own(compare, capsys):
    """Named tasks are extended, the others stay; one that joins takes the budget that the others agree on."""
    cube = "cube-single-play-singletask-task2-v0"
    assert compare(*GIVEN, tasks=(TASK, cube)) == 0
    assert compare("--updates", 60, tasks=(cube,)) == 0
    assert [(call[1], call[call.index("--updates") + 1]) for call in compare.calls] == [(cube, "60")] * 2
    results = compare.out / "results"
    before = table(results)
    assert "updates)" not in before
    assert caption(results).endswith(
        f"`{cube}`: 60 updates, evaluated every 10; `{TASK}`: 40 updates, evaluated every 10."
    )
    other = "cube-single-play-singletask-task3-v0"
    joining = ("compare", other, "--out", compare.out)
    words = f"{other} is new among tasks that differ in updates (40, 60): add --updates"
    assert words in error_of(capsys, *joining, "--eval-every", 10)
    joined = comparisons.load(results).extended(tasks=[other], algorithms=[], budget={"updates": 20}, given={})
    assert joined.tasks[other] == Budget(20, 10), "the others agree on when to evaluate"
    assert compare("--no-train", tasks=()) == 0
    assert table(results) == before
    words = f"{cube} has 60 updates and can only be extended, not cut to 50: name the TASKs that are meant"
    assert words in error_of(capsys, "compare", "--out", compare.out, "--updates", 50)
    # Named no tasks, it means all of them.
    assert compare("--updates", 70, tasks=()) == 0
    assert [call[1] for call in compare.calls] == [cube] * 2 + [TASK] * 2
    assert caption(results).endswith("Every run: 70 updates, evaluated every 10.")
    joined = comparisons.load(results).extended(tasks=[other], algorithms=[], budget={}, given={})
    assert joined.tasks[other] == Budget(70, 10)


def test_limits_of_evaluations_are_those_of_every_cell(compare, capsys):
    """Kept beside the results; what bounds time alone may change, and reaches the runs that go on."""
    limits = ("--eval-max-steps", "1k", "--eval-max-seconds", "inf", "--step-seconds", 5)
    assert compare(*GIVEN, "--algorithms", "drol", *limits, drol="fail") == 1
    given = ["--eval-max-steps", "1000", "--eval-max-seconds", "inf", "--step-seconds", "5", "--requeue"]
    assert compare.calls[-1][-7:] == given
    stored = json.loads((compare.out / "results" / "comparison.json").read_text())
    assert (stored["eval_max_steps"], stored["eval_max_seconds"], stored["step_seconds"]) == (1000, None, 5.0)
    write_run(compare.out / TASK / "drol" / "seed0", 0.5, sha=SHA)
    path = compare.out / TASK / "drol" / "seed0" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluation_limits": {"steps": 1000}}))
    assert compare("--eval-max-seconds", 3600, "--step-seconds", 60, drol="fail") == 1
    again = ["--eval-max-steps", "1000", "--eval-max-seconds", "3600", "--step-seconds", "60", "--requeue"]
    assert compare.calls[-1][-7:] == again
    words = error_of(capsys, "compare", "--out", compare.out, "--eval-max-steps", 50)
    assert "begun with eval_max_steps 1000, not 50" in words
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluation_limits": {"steps": None}}))
    assert "was begun with eval_max_steps None, but this" in error_of(capsys, "compare", "--out", compare.out)


def test_a_comparison_of_an_earlier_version_has_the_default_limits(compare):
    assert compare(*GIVEN) == 0
    path = compare.out / "results" / "comparison.json"
    later = {"columns": None, "eval_max_steps": None, "eval_max_seconds": 3600.0, "step_seconds": 60.0}
    stored = json.loads(path.read_text())
    assert {name: stored.pop(name) for name in later} == later
    path.write_text(json.dumps(stored))
    assert compare(tasks=()) == 0
    assert compare.calls == []
    assert json.loads(path.read_text()) == stored | later


def test_what_would_not_be_comparable_is_refused(compare, tmp_path, capsys):
    assert compare(*GIVEN) == 0
    out = compare.out
    for more, words in [
        (("--updates", 30), "has 40 updates and can only be extended, not cut to 30"),
        (("--updates", 51), "cannot be cut into equal"),
        (("--updates", 45), "multiples of the 10 updates"),
        (("--eval-every", 20), "begun with eval_every 10, not 20"),
        (("--size", "paper"), "begun with size 'laptop', not 'paper'"),
        (("--hidden", 8), "begun with hidden by default, not 8"),
        (("--seeds", "0-1"), "begun with seeds 0, 1, 2; add to them"),
        (("--algorithms", "drool"), "did you mean 'drol'"),
        (("--data", "maze.npz"), "--data needs TASK=FILE"),
        (("--data", f"{TASK}={tmp_path}/none.npz"), "does not exist"),
        (("--data", f"{TASK}={tmp_path}/plan.json"), "was trained on data other than"),
    ]:
        before = {path: path.read_bytes() for path in out.rglob("*.json")}
        assert words in error_of(capsys, "compare", TASK, "--out", out, "--algorithms", "drol", *more), more
        assert {path: path.read_bytes() for path in out.rglob("*.json")} == before, more
    # Without the comparison's own file the runs themselves tell.
    (out / "results" / "comparison.json").unlink()
    given = ("compare", TASK, "--out", out, "--algorithms", "drol", "--no-train")
    assert "begun with eval_every 10, but this comparison has 2500" in error_of(capsys, *given)
    assert "more than the 20" in error_of(capsys, *given, "--updates", 20, "--eval-every", 10)
    assert "without training" in error_of(capsys, "compare", TASK, "--out", tmp_path / "nothing", "--no-train")
    fill(Cell(out, TASK, Method("fql")), (0,) * 4, (0,) * 4, (0,) * 4, sha="9" * 64)
    assert "were trained on different data" in error_of(capsys, "compare", TASK, "--out", out, "--no-train", *GIVEN)


def test_without_training_only_results_are_collected(compare):
    fill(Cell(compare.out, TASK, Method("drol")), (0,) * 4, (0,) * 4, (0,) * 4)
    fill(Cell(compare.out, TASK, Method("fql")), (0,), (0,))
    assert compare("--no-train", *GIVEN) == 0
    assert compare.calls == compare.measured == []
    text = table(compare.out / "results")
    assert "| DROL | 0.00 ± 0.00 | not measured | not measured |" in text
    assert "| FQL | not run | not measured | not measured |" in text


@pytest.mark.slow
def test_two_methods_for_real(tmp_path, capfd):
    """On a log of one's own, in the toy environment."""
    log, out = tmp_path / "robot.npz", tmp_path / "out"
    write_log(log)
    short = ("--updates", 20, "--eval-every", 10, "--eval-episodes", 1, "--hidden", 8, "--workers", 1)
    given = (log, "--out", out, "--algorithms", "bc,iql", "--seeds", "0", *short, "--env", ENVIRONMENT, "--no-speed")
    assert drol("compare", *given) == 0, capfd.readouterr().err
    capfd.readouterr()
    results = out / "results"
    for name in ("bc", "iql"):
        assert_real_result(out, name, ["10", "20"])
        config = json.loads((out / "robot" / name / "seed0" / "config.json").read_text())
        assert config["algorithm"] == name
    assert len(table(results).splitlines()) == 4
    assert drol("compare", *given) == 0
    said = capfd.readouterr().out
    assert "robot, bc: finished" in said
    assert "training" not in said


def test_what_is_varied_is_trained_at_every_value(compare, capsys):
    vary = ("--vary", "num_candidates=4,16", "--vary", "chunk=1,5")
    assert compare(*GIVEN, *vary) == 0
    trained = [" ".join(call[2 : call.index("--seeds")]) for call in compare.calls if call[0] == "train"]
    assert trained == [
        "--algorithm drol --num-candidates 4 --chunk 1",
        "--algorithm drol --num-candidates 4 --chunk 5",
        "--algorithm drol --num-candidates 16 --chunk 1",
        "--algorithm drol --num-candidates 16 --chunk 5",
        "--algorithm fql --chunk 1",
        "--algorithm fql --chunk 5",
    ]
    assert [len(names) for names in compare.measured] == [6]
    assert "DROL, num_candidates 16, chunk 5" in (compare.out / "results" / "table.md").read_text()
    assert compare("--vary", "num_candidates=4,16,64") == 0
    again = [call[call.index("--num-candidates") + 1] for call in compare.calls if call[0] == "train"]
    assert again == ["64", "64"], "nothing is trained twice"
    assert compare("--no-train") == 0
    assert compare.calls == []


def test_a_value_that_nothing_takes_is_refused_before_anything_is_written(compare, capsys):
    message = error_of(capsys, "compare", TASK, "--out", compare.out, "--vary", "num_candidates=0")
    assert "num_candidates=0 does not fit drol" in message
    assert not compare.out.exists()
