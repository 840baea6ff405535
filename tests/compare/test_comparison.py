"""Cells of a comparison: their states, their figures by hand, and a table that the results reproduce."""

import dataclasses
import json
import statistics

import pytest

from drol.compare import comparison as comparisons
from drol.compare.cells import Cell
from drol.compare.comparison import Budget, Comparison
from drol.compare.methods import Method
from drol.compare.tables import caption, groups, table
from tests.helpers.commands import TASK
from tests.helpers.made_up_runs import PROTOCOL, SHORT, fill, write_run


def test_states_of_a_cell(tmp_path):
    cell = Cell(tmp_path, TASK, Method("drol"))
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
    cell = Cell(tmp_path, TASK, Method("drol"))
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
    cell = Cell(tmp_path, TASK, Method("drol"))
    fill(cell, (1, 0, 0.5, None), (0, 0, 0, 0), (1, 1, 1, 1))
    assert cell.result(PROTOCOL)["seeds"]["0"]["figure"] == 0.5, "the last three that there are"
    fill(cell, (), (), ())
    cell.run(2).divergence.write_text("{}")
    result = cell.result(PROTOCOL)
    assert result["seeds"]["2"]["figure"] is result["figure"] is None
    with pytest.raises(comparisons.DataError, match="a run of every seed"):
        Cell(tmp_path, TASK, Method("fql")).result(PROTOCOL)
    fill(Cell(tmp_path, TASK, Method("fql")), (0,) * 4, (0,) * 4)
    write_run(tmp_path / TASK / "fql" / "seed2", 0, 0, 0, 0, seed=2, learning_rate=1)
    with pytest.raises(comparisons.DataError, match="differ in their hyperparameters"):
        Cell(tmp_path, TASK, Method("fql")).result(PROTOCOL)


def test_the_table_follows_from_the_results_alone(tmp_path):
    other = "cube-single-play-singletask-task2-v0"
    comparison = Comparison({TASK: SHORT, other: SHORT}, ("drol", "fql", "bc", "my-own"), seeds=(0, 1))
    fill(Cell(tmp_path, TASK, Method("drol")), (0, 0, 0, 0), (1, 1, 1, 1))
    fill(Cell(tmp_path, TASK, Method("my-own")), (0, 0.5, 0.5, 0.5), (0, 0.5, 0.5, 0.5))
    fill(Cell(tmp_path, other, Method("drol")), (0.125,) * 4, (0.125,) * 4, diverged=True)
    fill(Cell(tmp_path, other, Method("fql")), (None,) * 4, (None,) * 4)
    for task, name in ((TASK, "drol"), (TASK, "my-own"), (other, "drol"), (other, "fql")):
        Cell(tmp_path, task, Method(name)).write_result(comparison)
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
        "mean ± sample standard deviation over 2 seeds (0, 1). Every run: 40 updates, evaluated every 10."
    )
    scored = {(group.task, group.method): group for group in groups(moved)}
    assert scored[TASK, "DROL"].scores == (0.0, 1.0)
    assert scored[TASK, "DROL"].basis() == "success, mean of the last 3 evaluations, 2 seeds, 120 episodes"
    assert scored[other, "DROL"].diverged
    assert not scored[other, "DROL"].is_scored
    third = comparison.extended(tasks=["a"], algorithms=[], budget={"updates": 50}, given={})
    third.save(moved)
    assert caption(moved).endswith(
        f"`a`: 50 updates, evaluated every 10; `{other}`, `{TASK}`: 40 updates, evaluated every 10."
    )
    result = json.loads((moved / TASK / "drol.json").read_text())
    (moved / TASK / "fql.json").write_text(json.dumps(result | {"measure": "return"}))
    with pytest.raises(comparisons.DataError, match="different things: return, success"):
        table(moved)
    fill(Cell(tmp_path, TASK, Method("fql")), (0,) * 4, (0,) * 4, sha="6" * 64)
    Cell(tmp_path, TASK, Method("fql")).write_result(comparison)
    (results / TASK / "fql.json").rename(moved / TASK / "fql.json")
    with pytest.raises(comparisons.DataError, match="come from different data"):
        table(moved)


def damaged(tmp_path, change):
    """What loading says of a comparison's file that is not as it was written."""
    PROTOCOL.save(tmp_path)
    assert comparisons.load(tmp_path) == PROTOCOL
    path = tmp_path / comparisons.FILE
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(comparisons.DataError, match="does not describe a comparison") as caught:
        comparisons.load(tmp_path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": [TASK]}, "has no attribute"),
        ({"tasks": {TASK: {}}}, "expected the fields updates, eval_every"),
        ({"tasks": {TASK: {"updates": 40, "eval_every": 10, "speed": 1}}}, "found updates, eval_every, speed"),
        ({"tasks": {TASK: None}}, "NoneType"),
        ({"tasks": {TASK: {"updates": "40", "eval_every": 10}}}, "expected int, found '40'"),
        ({"tasks": {TASK: {"updates": 40.0, "eval_every": 10}}}, "expected int, found 40.0"),
        ({"tasks": {TASK: {"updates": -40, "eval_every": 10}}}, "must be at least 1, found -40"),
        ({"tasks": {TASK: {"updates": 11, "eval_every": 5}}}, "cannot be cut into equal"),
        ({"tasks": {}}, "needs tasks, found none"),
        ({"seeds": 3}, "expected a list, found 3"),
        ({"algorithms": "drol"}, "expected a list, found 'drol'"),
        ({"algorithms": [1]}, "expected str, found 1"),
        ({"eval_episodes": None}, "expected int, found None"),
        ({"hidden": "8"}, "expected a list, found '8'"),
        ({"updates": 40}, "expected the fields tasks, algorithms"),
        ({"columns": "obs"}, "expected names of columns, found 'obs'"),
        ({"columns": {"observations": 1}}, "expected names of columns"),
        ({"eval_max_steps": 0}, "steps must be at least 1"),
        ({"eval_max_steps": 1.5}, "expected int, found 1.5"),
        ({"step_seconds": "long"}, "expected float, found 'long'"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path, change, words):
    assert words in damaged(tmp_path, lambda stored: stored | change)


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    damaged(tmp_path, lambda stored: [stored])
    damaged(tmp_path, lambda stored: {})


def test_normalised_scores_follow_the_same_rule(tmp_path):
    """The mean of the last three evaluations, as for success; with one decimal."""
    comparison = dataclasses.replace(PROTOCOL, algorithms=("drol",), seeds=(0, 1))
    cell = Cell(tmp_path, TASK, Method("drol"))
    fill(cell, (), ())
    for seed, scores in ((0, (900, 15, 20, 25)), (1, (-500, 0, 40, 80))):
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
    assert caption(tmp_path / "results").startswith(
        "Normalised score: mean of the last three evaluations (20 episodes each"
    )
