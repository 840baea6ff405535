"""The caption under a comparison's table says what the runs were, not what a comparison usually is."""

import dataclasses
import json

import pytest

from drol.compare.cells import Cell
from drol.compare.comparison import Budget, Comparison
from drol.compare.methods import Method
from drol.compare.tables import caption, table
from drol.errors import DataError
from drol.presets import SIZES
from tests.helpers.commands import TASK
from tests.helpers.made_up_runs import PROTOCOL, fill

OTHER = "cube-single-play-singletask-task2-v0"


def written(comparison, folder, algorithm, *runs, task=TASK, hidden=(256, 256, 256)):
    """The folder of results with one more cell, whose networks have these hidden widths."""
    cell = Cell(folder, task, Method(algorithm))
    fill(cell, *runs, updates=comparison.tasks[task].updates)
    for config in cell.path.glob("seed*/config.json"):
        stored = json.loads(config.read_text())
        stored["hyperparameters"]["hidden"] = list(hidden)
        config.write_text(json.dumps(stored | {"size": comparison.size, "eval_episodes": comparison.eval_episodes}))
    cell.write_result(comparison)
    comparison.save(folder / "results")
    return folder / "results"


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([(1,)], "Success: last evaluation ("),
        ([(1, 0)], "Success: mean of the last two evaluations ("),
        ([(1, 0, 1)], "Success: mean of the last three evaluations ("),
        ([(1, 0, 1, 1)], "Success: mean of the last three evaluations ("),
        ([(1, None, 1, None)], "Success: mean of the last two evaluations ("),
        ([(1,), (0, 0, 0)], "Success: mean of the last one to three evaluations, as many as a run has ("),
        ([()], "No run has been evaluated; size laptop; "),
    ],
)
def test_it_counts_the_evaluations_that_there_were(tmp_path, runs, words):
    comparison = dataclasses.replace(PROTOCOL, algorithms=("drol",), seeds=tuple(range(len(runs))))
    assert caption(written(comparison, tmp_path, "drol", *runs)).startswith(words)


def test_nothing_is_said_of_measures_that_no_run_has(tmp_path):
    PROTOCOL.save(tmp_path)
    assert caption(tmp_path).startswith("No run has been evaluated; size laptop; ")


@pytest.mark.parametrize(("episodes", "words"), [(1, "(1 episode each)"), (20, "(20 episodes each)")])
def test_one_episode_is_no_plural(tmp_path, episodes, words):
    comparison = dataclasses.replace(PROTOCOL, algorithms=("drol",), seeds=(0,), eval_episodes=episodes)
    assert words in caption(written(comparison, tmp_path, "drol", (1, 1, 1)))


def test_it_states_the_widths_that_were_trained(tmp_path):
    """A size by name where all its networks have its widths; those that were chosen; and the exceptions."""
    one = dataclasses.replace(PROTOCOL, seeds=(0,))
    assert " each), size laptop; seed 0" in caption(written(one, tmp_path / "a", "drol", (1, 1, 1)))
    chosen = dataclasses.replace(one, hidden=(8, 8))
    assert " each), hidden widths 8, 8; seed 0" in caption(written(chosen, tmp_path / "b", "drol", (1,), hidden=(8, 8)))
    # The comparison's own file is gone, and was written again without the widths: the cells know.
    assert " each), hidden widths 8, 8; seed 0" in caption(written(one, tmp_path / "c", "drol", (1,), hidden=(8, 8)))
    paper = Comparison({TASK: Budget(40, 10), OTHER: Budget(40, 10)}, ("drol", "iql"), size="paper", seeds=(0,))
    widths = SIZES["paper"].hidden
    for name in paper.algorithms:
        written(paper, tmp_path / "d", name, (1,), hidden=widths)
    written(paper, tmp_path / "d", "drol", (1,), task=OTHER, hidden=widths)
    results = written(paper, tmp_path / "d", "iql", (1,), task=OTHER, hidden=(256,) * 4)
    assert f" each), size paper, but IQL on {OTHER} has hidden widths 256, 256, 256, 256; seed 0" in caption(results)


def test_small_returns_keep_their_digits(tmp_path):
    comparison = dataclasses.replace(PROTOCOL, algorithms=("drol", "fql"), seeds=(0, 1))
    for name, returns in (("drol", (-0.0521, -0.0479)), ("fql", (-0.002, -0.004))):
        cell = Cell(tmp_path, TASK, Method(name))
        fill(cell, (), ())
        for seed, value in enumerate(returns):
            cell.run(seed).metrics.append({"update": 40, "evaluation/return": value, "evaluation/episodes": 20})
        cell.write_result(comparison)
    comparison.save(tmp_path / "results")
    heading, _, iql, drol = table(tmp_path / "results").splitlines()
    assert heading.startswith(f"| method | `{TASK}`, return |")
    assert drol.startswith("| DROL | -0.0500 ± 0.0030 |")
    assert iql.startswith("| FQL | -0.0030 ± 0.0014 |")


@pytest.mark.parametrize("records", ["{}", "[]", '{"records": {"drol": 3}}', '{"records": null}'])
def test_damaged_speeds_are_refused_by_name(tmp_path, records):
    PROTOCOL.save(tmp_path)
    (tmp_path / "speed.json").write_text(records)
    with pytest.raises(DataError, match=r"speed\.json does not hold measured speeds; measure them again with --speed"):
        table(tmp_path)


@pytest.mark.parametrize("result", ["{}", "[]", '{"data": {}}'])
def test_damaged_results_are_refused_by_name(tmp_path, result):
    results = written(dataclasses.replace(PROTOCOL, seeds=(0,)), tmp_path, "drol", (1, 1, 1))
    (results / TASK / "drol.json").write_text(result)
    with pytest.raises(DataError, match=r"drol\.json is not the result of a cell"):
        table(results)
