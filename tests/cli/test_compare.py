"""`drol compare`: what is trained, resumed and left alone; statistics by hand; a table that its results reproduce."""

import dataclasses
import json
import os
import signal
import statistics
import sys
import time
import types
from pathlib import Path

import pytest

from drol.cli import compare as compare_command
from drol.report import comparison as comparisons
from drol.report.cells import Cell
from drol.report.commands import Commands, _shares
from drol.report.comparison import Budget, Comparison
from drol.report.tables import caption, table
from drol.training.folder import RunFolder
from tests.cli.commands import drol, error_of

TASK = "pointmaze-medium-navigate-singletask-task1-v0"
SHORT = Budget(updates=40, eval_every=10)
PROTOCOL = Comparison({TASK: SHORT}, ("drol", "fql"))
GIVEN = ("--algorithms", "drol,fql", "--updates", 40, "--eval-every", 10, "--seeds", "0-2")


def write_run(path, *successes, seed=0, updates=40, diverged=False, sha="5" * 64, learning_rate=0.5):
    """A run folder with evaluations every 10 updates, as far as there are successes."""
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    config = {
        "task": TASK,
        "algorithm": path.parent.name,
        "hyperparameters": {"learning_rate": learning_rate, "hidden": [256, 256, 256]},
        "size": "laptop",
        "preset": {"family": "made-up", "source": "nobody", "tuned": False},
        "settings": {"seed": seed, "updates": updates, "batch_size": 256, "eval_every": 10, "chunk": 10},
        "eval_episodes": 20,
        "data_file": "/somewhere/maze.npz",
        "data": {"kind": "ogbench", "files": [{"name": "maze.npz", "bytes": 5, "sha256": sha}]},
        "environment": {"id": "maze", "success_timing": "pre"},
        "versions": {"jax": "1", "d4rl": None},
        "device": {"platform": "cpu"},
        "machine": {"cores": 2},
        "command": ["train"],
    }
    folder.config.write_text(json.dumps(config))
    done = len(folder.metrics.read())
    for number, success in enumerate(successes[done:], done + 1):
        folder.metrics.append({"update": 10 * number, "evaluation/success": success, "evaluation/episodes": 20})
    if diverged:
        folder.divergence.write_text('{"message": "made up"}')


def fill(cell, *runs, **options):
    for seed, successes in enumerate(runs):
        write_run(cell.path / f"seed{seed}", *successes, seed=seed, **options)


def stand_in():
    """What takes the place of `drol train` and `drol collect`: notes its arguments, then behaves as the plan says."""
    root = Path(sys.argv[1])
    with open(root / "calls.jsonl", "a") as file:
        file.write(json.dumps(sys.argv[2:]) + "\n")
    options = dict(zip(sys.argv[4::2], sys.argv[5::2], strict=False))
    plan = json.loads((root / "plan.json").read_text())
    if sys.argv[2] == "collect":
        Path(options["--out"]).parent.mkdir(exist_ok=True)
        Path(options["--out"]).write_text("data")
        return 0
    behaviour = plan.get(options["--algorithm"], "finish")
    updates, sha = int(options["--updates"]), plan["sha"]
    runs = [Path(options["--out"]) / f"seed{seed}" for seed in options["--seeds"].split(",")]
    if behaviour == "fail":
        print("made up", file=sys.stderr)
        return 1
    if behaviour == "cores":
        time.sleep(0.5)  # until they have been divided
        print(json.dumps(sorted(os.sched_getaffinity(0))))
    if behaviour == "wait" and "--resume" not in sys.argv:
        received = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: received.append(number))
        write_run(runs[0], 0.5, updates=updates, sha=sha)
        (root / f"waiting-{options['--algorithm']}").touch()
        while len(list(root.glob("waiting-*"))) < plan.get("together", 1):
            time.sleep(0.01)
        os.kill(os.getppid(), plan["signal"])
        while not received:
            time.sleep(0.01)
        return 128 + received[0]
    for seed, path in enumerate(runs):
        write_run(path, *[0.5] * (updates // 10), seed=seed, updates=updates, diverged=behaviour == "diverge", sha=sha)
    return 1 if behaviour == "diverge" else 0


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Compare with commands that pretend; `compare.calls` are those of the last comparison, `out` its folder."""
    program = "import sys; from tests.cli.test_compare import stand_in; sys.exit(stand_in())"
    monkeypatch.setattr("drol.cli.compare.COMMAND", (sys.executable, "-c", program, str(tmp_path)))

    def bench_peers(size, algorithms, *, hidden):
        run.measured.append(tuple(algorithms))
        run.hidden = hidden
        for number, name in enumerate(algorithms, 1):
            yield {"algorithm": name, "step_ms": 8.0, "updates_per_second": 12.34 * number, "act_ms": 0.126}

    monkeypatch.setitem(sys.modules, "drol.benchmarks.peers", types.SimpleNamespace(bench_peers=bench_peers))

    def run(*arguments, tasks=(TASK,), **plan):
        log = tmp_path / "calls.jsonl"
        log.unlink(missing_ok=True)
        # The SHA-256 of what the pretended collection writes.
        sha = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
        (tmp_path / "plan.json").write_text(json.dumps({"sha": sha} | plan))
        status = drol("compare", *tasks, "--out", run.out, *arguments)
        run.calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return status

    run.out, run.measured = tmp_path / "out", []
    return run


def test_states_of_a_cell(tmp_path):
    cell = Cell(tmp_path, TASK, "drol")
    assert cell.state(PROTOCOL) == "absent"
    fill(cell, (0, 0, 0, 0), (0, 0, 0, 0))
    assert cell.state(PROTOCOL) == "begun", "seed 2 is missing"
    write_run(cell.run(2).path, 0, 0, 0, seed=2)
    assert cell.state(PROTOCOL) == "begun", "seed 2 has come to update 30 of 40"
    write_run(cell.run(2).path, 0, 0, 0, 0, seed=2)
    assert cell.state(PROTOCOL) == "finished"
    longer = Comparison({TASK: Budget(updates=50, eval_every=10)}, ("drol",))
    assert cell.state(longer) == "begun"
    cell.run(1).divergence.write_text("{}")
    assert cell.state(PROTOCOL) == "diverged"
    assert cell.state(longer) == "begun", "the other seeds have something left to train"


def test_the_figure_by_hand(tmp_path):
    """The last three evaluations, never the best ones; the divisor of the variance is the number of seeds - 1."""
    cell = Cell(tmp_path, TASK, "drol")
    fill(cell, (1, 0.5, 0.25, 0), (1, 0.25, 0.5, 0.75), (0, 1, 1, 1))
    result = cell.result(PROTOCOL)
    assert [seed["figure"] for seed in result["seeds"].values()] == [0.25, 0.5, 1]
    assert result["figure"]["mean"] == pytest.approx(1.75 / 3, abs=1e-6)
    # Deviations from 7/12: -4/12, -1/12, 5/12; their squares' sum 42/144, halved.
    assert result["figure"]["standard_deviation"] == pytest.approx((21 / 144) ** 0.5, abs=1e-6)
    assert result["figure"]["standard_deviation"] == pytest.approx(statistics.stdev([0.25, 0.5, 1]), abs=1e-6)
    assert result["seeds"]["1"]["evaluations"] == {"10": 1, "20": 0.25, "30": 0.5, "40": 0.75}
    assert result["data"] == {"maze.npz": "5" * 64}
    assert result["versions"] == {"jax": "1"}
    text = json.dumps(result)
    assert "somewhere" not in text
    assert str(tmp_path) not in text
    assert list(result) == sorted(result)


def test_failed_evaluations_and_diverged_seeds_are_not_hidden(tmp_path):
    cell = Cell(tmp_path, TASK, "drol")
    fill(cell, (1, 0, 0.5, None), (0, 0, 0, 0), (1, 1, 1, 1))
    assert cell.result(PROTOCOL)["seeds"]["0"]["figure"] == 0.5, "the last three that there are"
    fill(cell, (), (), ())
    cell.run(2).divergence.write_text("{}")
    result = cell.result(PROTOCOL)
    assert result["seeds"]["2"]["figure"] is result["figure"] is None
    with pytest.raises(comparisons.DataError, match="a run of every seed"):
        Cell(tmp_path, TASK, "fql").result(PROTOCOL)
    fill(Cell(tmp_path, TASK, "fql"), (0,) * 4, (0,) * 4)
    write_run(tmp_path / TASK / "fql" / "seed2", 0, 0, 0, 0, seed=2, learning_rate=1)
    with pytest.raises(comparisons.DataError, match="differ in their hyperparameters"):
        Cell(tmp_path, TASK, "fql").result(PROTOCOL)


def test_the_table_follows_from_the_results_alone(tmp_path):
    other = "cube-single-play-singletask-task2-v0"
    comparison = Comparison({TASK: SHORT, other: SHORT}, ("drol", "fql", "bc", "my-own"), seeds=(0, 1))
    fill(Cell(tmp_path, TASK, "drol"), (0, 0, 0, 0), (1, 1, 1, 1))
    fill(Cell(tmp_path, TASK, "my-own"), (0, 0.5, 0.5, 0.5), (0, 0.5, 0.5, 0.5))
    fill(Cell(tmp_path, other, "drol"), (0.125,) * 4, (0.125,) * 4, diverged=True)
    fill(Cell(tmp_path, other, "fql"), (None,) * 4, (None,) * 4)
    for task, name in ((TASK, "drol"), (TASK, "my-own"), (other, "drol"), (other, "fql")):
        Cell(tmp_path, task, name).write_result(comparison)
    results = tmp_path / "results"
    comparison.save(results)
    speed = {"records": {"bc": {"updates_per_second": 123.456, "act_ms": 0.1}}, "size": "laptop"}
    (results / "speed.json").write_text(json.dumps(speed))
    moved = results.rename(tmp_path / "moved")
    assert table(moved).splitlines() == [
        f"| method | `{TASK}` | `{other}` | updates/s | ms per action |",
        "|---|---|---|---|---|",
        "| BC | not run | not run | 123.5 | 0.10 |",
        "| FQL | not run | not evaluated | not measured | not measured |",
        "| DROL | 0.50 ± 0.71 | diverged (2 of 2 seeds) | not measured | not measured |",
        "| my-own | 0.50 ± 0.00 | not run | not measured | not measured |",
    ]
    assert caption(moved) == (
        "Success: mean of the last three evaluations (20 episodes each), size laptop; "
        "mean ± sample standard deviation over 2 seeds (0, 1). 40 updates, evaluated every 10."
    )
    comparison.extended({other}, set(), {"updates": 50}, {}).save(moved)
    assert caption(moved).endswith(
        f"`{other}`: 50 updates, evaluated every 10; `{TASK}`: 40 updates, evaluated every 10."
    )
    result = json.loads((moved / TASK / "drol.json").read_text())
    (moved / TASK / "fql.json").write_text(json.dumps(result | {"measure": "return"}))
    with pytest.raises(comparisons.DataError, match="different things: return, success"):
        table(moved)
    fill(Cell(tmp_path, TASK, "fql"), (0,) * 4, (0,) * 4, sha="6" * 64)
    Cell(tmp_path, TASK, "fql").write_result(comparison)
    (results / TASK / "fql.json").rename(moved / TASK / "fql.json")
    with pytest.raises(comparisons.DataError, match="come from different data"):
        table(moved)


def test_scores_count_at_the_last_evaluation(tmp_path):
    """D4RL's: no mean over evaluations, one decimal, and the table says so."""
    comparison = dataclasses.replace(PROTOCOL, algorithms=("drol",), seeds=(0, 1))
    cell = Cell(tmp_path, TASK, "drol")
    fill(cell, (), ())
    for seed, scores in ((0, (90, 80, 20)), (1, (0, 0, 40))):
        for number, score in enumerate(scores, 1):
            line = {"evaluation/score": score, "evaluation/success": 1.0, "evaluation/episodes": 20}
            cell.run(seed).metrics.append({"update": 10 * number} | line)
    result = cell.write_result(comparison)
    assert result["measure"] == "score"
    assert [seed["figure"] for seed in result["seeds"].values()] == [20, 40]
    comparison.save(tmp_path / "results")
    heading, _, row = table(tmp_path / "results").splitlines()
    assert heading.startswith(f"| method | `{TASK}`, normalised score |")
    assert row.startswith("| DROL | 30.0 ± 14.1 |")
    assert caption(tmp_path / "results").startswith("Normalised score: last evaluation (20 episodes each")


def test_a_comparison_from_nothing_and_again(compare, capsys):
    assert compare(*GIVEN) == 0
    collecting, first, second = compare.calls
    file = str(compare.out / "data" / "pointmaze-medium-navigate-v0.npz")
    assert collecting == ["collect", "pointmaze-medium-navigate-v0", "--episodes", "100", "--out", file]
    out = str(compare.out / TASK / "drol")
    shared = ["--seeds", "0,1,2", "--size", "laptop", "--updates", "40", "--eval-every", "10", "--eval-episodes", "20"]
    assert first == ["train", TASK, "--algorithm", "drol", *shared, "--out", out, "--data", file]
    assert second[3] == "fql"
    assert "12.3" in capsys.readouterr().out
    stored = {path: path.read_bytes() for path in (compare.out / "results").rglob("*.*")}
    names = {str(path.relative_to(compare.out / "results")) for path in stored}
    assert names == {"comparison.json", "speed.json", "table.md", f"{TASK}/drol.json", f"{TASK}/fql.json"}
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


@pytest.mark.parametrize(("number", "cells"), [(signal.SIGINT, ["drol", "fql"]), (signal.SIGTERM, ["fql"])])
def test_an_interrupted_cell_goes_on_with_the_same_arguments(compare, capsys, number, cells):
    """In the first cell, and in the last, after which only speeds would be left to measure."""
    before = signal.getsignal(number)
    assert compare(*GIVEN, **{cells[0]: "wait"}, signal=number) == 128 + number
    said = capsys.readouterr().out
    assert "the same command goes on from here" in said
    assert said.count(": training") == 3 - len(cells), "none is announced after it"
    assert signal.getsignal(number) is before
    begun = compare.calls[-1]
    assert begun[3] == cells[0], "nothing was started after it"
    assert compare.measured == []
    assert not (compare.out / "results" / TASK / f"{cells[0]}.json").exists()
    assert compare(*GIVEN, **{cells[0]: "wait"}) == 0
    assert [call[3] for call in compare.calls] == cells
    assert compare.calls[0] == [*begun, "--resume"]
    assert all("--resume" not in call for call in compare.calls[1:])
    assert compare.measured == [("drol", "fql")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cells_that_train_at_once_stop_together_and_go_on(compare, number):
    assert compare(*GIVEN, "--jobs", 2, drol="wait", fql="wait", together=2, signal=number) == 128 + number
    assert sorted(call[3] for call in compare.calls if call[0] == "train") == ["drol", "fql"]
    assert compare.measured == []
    assert compare(*GIVEN, "--jobs", 2, drol="wait", fql="wait") == 0
    assert sorted(call[3] for call in compare.calls) == ["drol", "fql"]
    assert all(call[-1] == "--resume" for call in compare.calls)
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


def test_a_command_alone_has_all_cores(tmp_path):
    program = (sys.executable, "-c", "import os, time; time.sleep(0.2); print(len(os.sched_getaffinity(0)))")
    with Commands(program, jobs=len(os.sched_getaffinity(0))) as commands:
        assert commands.run((), log=tmp_path / "share") == commands.run((), log=tmp_path / "all", alone=True) == 0
    assert int((tmp_path / "share").read_text()) == 1
    assert int((tmp_path / "all").read_text()) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cores", "jobs", "shares"),
    [
        ({4, 5, 6, 7}, 2, [{4, 6}, {5, 7}]),
        ({0, 1, 2}, 2, [{0, 2}, {1}]),
        ({3}, 2, [None, None]),
        ({0, 1}, 1, [None]),
    ],
)
def test_cores_are_divided_among_jobs(monkeypatch, cores, jobs, shares):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert _shares(jobs) == shares


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
    assert call[-1] == "--resume"
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
    assert compare("--no-train", tasks=()) == 0
    assert table(results) == before
    assert "begun with 60 updates" in error_of(capsys, "compare", "--out", compare.out, "--updates", 50)
    # Named no tasks, it means all of them.
    assert compare("--updates", 70, tasks=()) == 0
    assert [call[1] for call in compare.calls] == [cube] * 2 + [TASK] * 2
    assert caption(results).endswith("70 updates, evaluated every 10.")
    other = "cube-single-play-singletask-task3-v0"
    assert comparisons.load(results).extended({other}, set(), {}, {}).tasks[other] == Budget(70, 10)


def test_what_would_not_be_comparable_is_refused(compare, tmp_path, capsys):
    assert compare(*GIVEN) == 0
    out = compare.out
    for more, words in [
        (("--updates", 30), "begun with 40 updates, and can only be extended"),
        (("--updates", 51), "common divisor"),
        (("--updates", 45), "multiples of the chunk length 10"),
        (("--eval-every", 20), "begun with eval_every 10, not 20"),
        (("--size", "paper"), "begun with size 'laptop', not 'paper'"),
        (("--hidden", 8), "begun with hidden by default, not 8"),
        (("--seeds", "0-1"), "begun with seeds 0, 1, 2; add to them"),
        (("--algorithms", "drool"), "did you mean 'drol'"),
        (("--data", "maze.npz"), "--data needs TASK=FILE"),
        (("--data", f"{TASK}={tmp_path}/none.npz"), "does not exist"),
        (("--data", f"{TASK}={tmp_path}/plan.json"), "was trained on other data than"),
    ]:
        before = {path: path.read_bytes() for path in out.rglob("*.json")}
        assert words in error_of(capsys, "compare", TASK, "--out", out, "--algorithms", "drol", *more), more
        assert {path: path.read_bytes() for path in out.rglob("*.json")} == before, more
    # Without the comparison's own file the runs themselves tell.
    (out / "results" / "comparison.json").unlink()
    given = ("compare", TASK, "--out", out, "--algorithms", "drol", "--no-train")
    assert "begun with eval_every 10, and this comparison has 2500" in error_of(capsys, *given)
    assert "more than the 20" in error_of(capsys, *given, "--updates", 20, "--eval-every", 10)
    assert "without training" in error_of(capsys, "compare", TASK, "--out", tmp_path / "nothing", "--no-train")
    fill(Cell(out, TASK, "fql"), (0,) * 4, (0,) * 4, (0,) * 4, sha="9" * 64)
    assert "were trained on different data" in error_of(capsys, "compare", TASK, "--out", out, "--no-train", *GIVEN)


def test_without_training_only_results_are_collected(compare):
    fill(Cell(compare.out, TASK, "drol"), (0,) * 4, (0,) * 4, (0,) * 4)
    fill(Cell(compare.out, TASK, "fql"), (0,), (0,))
    assert compare("--no-train", *GIVEN) == 0
    assert compare.calls == compare.measured == []
    text = table(compare.out / "results")
    assert "| DROL | 0.00 ± 0.00 | not measured | not measured |" in text
    assert "| FQL | not run | not measured | not measured |" in text


def test_two_methods_for_real(tmp_path, capfd):
    """On a log of one's own, in the toy environment."""
    from tests.cli.test_own_data import ENVIRONMENT, write_log

    log, out = tmp_path / "robot.npz", tmp_path / "out"
    write_log(log)
    short = ("--updates", 20, "--eval-every", 10, "--eval-episodes", 2, "--hidden", 8, "--workers", 1)
    given = (log, "--out", out, "--algorithms", "drol,fql", "--seeds", "0", *short, "--env", ENVIRONMENT, "--no-speed")
    assert drol("compare", *given) == 0, capfd.readouterr().err
    capfd.readouterr()
    results = out / "results"
    for name in ("drol", "fql"):
        result = json.loads((results / "robot" / f"{name}.json").read_text())
        assert result["hyperparameters"]["hidden"] == [8]
        assert list(result["seeds"]["0"]["evaluations"]) == ["10", "20"]
        assert 0 <= result["figure"]["mean"] <= 1
        assert result["figure"]["standard_deviation"] is None
        assert len(result["data"]["robot.npz"]) == 64
        assert str(tmp_path) not in json.dumps(result)
        config = json.loads((out / "robot" / name / "seed0" / "config.json").read_text())
        assert config["algorithm"] == name
    assert len(table(results).splitlines()) == 4
    assert drol("compare", *given) == 0
    said = capfd.readouterr().out
    assert "robot, drol: finished" in said
    assert "training" not in said
