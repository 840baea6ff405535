"""Runs in folders, and their scores by task, method and swept value."""

import csv
import io
import json

import numpy as np
import pytest

from drol import DROL
from drol.algorithm import hyperparameters
from drol.errors import DataError
from drol.report.runs import read_run, runs_in
from drol.report.summary import as_csv, as_json, as_latex, as_markdown, cells, grouped, improvements, write_summary
from tests.helpers.summarised_runs import TASK, write_run

# The last three of four evaluations; the first would change every mean.
VALUES = {(1.0, 0): (1, 0.1, 0.2, 0.3), (1.0, 1): (1, 0.3, 0.4, 0.5), (1.0, 2): (1, 0.5, 0.6, 0.7)}
VALUES |= {(3.0, 0): (0, 0.5, 0.5, 0.5), (3.0, 1): (0, 0.6, 0.6, 0.6), (3.0, 2): (0, 0.8, 0.8, 0.8)}


@pytest.fixture
def sweep(tmp_path):
    for (bc_coef, seed), values in VALUES.items():
        write_run(tmp_path / "sweep" / f"bc_coef{bc_coef:g}-seed{seed}", values, seed=seed, bc_coef=bc_coef)
    return tmp_path / "sweep"


def test_a_sweep_of_two_values_by_three_seeds(sweep):
    one, three = grouped(runs_in([sweep]))
    assert (one.method, three.method) == ("DROL, bc_coef 1", "DROL, bc_coef 3")
    assert one.seeds == (0, 1, 2)
    assert one.scores == pytest.approx((0.2, 0.4, 0.6))
    statistics = one.statistics()
    assert statistics["mean"] == pytest.approx(0.4)
    assert statistics["standard_deviation"] == pytest.approx(0.2)
    assert statistics["iqm"] == pytest.approx(0.4)
    assert 0.199 < statistics["iqm_low"] < 0.4 < statistics["iqm_high"] < 0.601
    assert one.basis() == "success, mean of the last 3 evaluations, 3 seeds, 180 episodes"
    (pair,) = improvements([one, three])
    assert (pair.method, pair.other, pair.tasks) == (one.method, three.method, (TASK,))
    assert pair.probability == pytest.approx((0 + 0 + 1.5) / 9)


def test_what_was_left_out_is_said(tmp_path):
    write_run(tmp_path / "0", (0.5, 0.5), seed=0, updates=20)
    write_run(tmp_path / "1", (0.9,), seed=1, updates=20)
    write_run(tmp_path / "2", (), seed=2, updates=20)
    (group,) = grouped(runs_in([tmp_path]))
    assert group.scores == (0.5,)
    assert group.basis() == "success, mean of the last 2 evaluations, 1 seed, 40 episodes; unfinished: seeds 1, 2"
    row = cells(group)
    assert row["mean"] == "0.50"
    assert row["standard_deviation"] == row["interval"] == "-"


def test_a_seed_counts_once(tmp_path):
    write_run(tmp_path / "0", (0.5,))
    write_run(tmp_path / "copy", (0.7,))
    (group,) = grouped(runs_in([tmp_path]))
    assert (group.scores, group.episodes) == ((0.5,), 20)
    assert "run a second time: seed 0" in group.basis()


def test_a_diverged_run_leaves_no_mean(tmp_path):
    write_run(tmp_path / "0", (0.5,))
    write_run(tmp_path / "1", (0.9,), seed=1).divergence.write_text('{"message": "made up"}')
    (group,) = grouped(runs_in([tmp_path]))
    assert cells(group)["mean"] == cells(group)["iqm"] == "-"
    assert "diverged: seed 1" in group.basis()
    assert improvements([group]) == []


@pytest.mark.parametrize(
    "difference", [{"updates": 40}, {"size": "paper"}, {"data": {"files": [{"name": "b", "sha256": "6" * 64}]}}]
)
def test_runs_that_differ_are_never_averaged(tmp_path, difference):
    write_run(tmp_path / "0", (0.5,) * 2, seed=0)
    write_run(tmp_path / "1", (0.9,) * (4 if "updates" in difference else 2), seed=1, **difference)
    first, second = grouped(runs_in([tmp_path]))
    assert first.scores == (0.5,)
    assert second.scores == pytest.approx((0.9,))
    assert first.method != second.method


def test_normalised_scores_follow_the_same_rule(tmp_path):
    write_run(tmp_path / "0", (900, 10, 20, 30), measure="score")
    (group,) = grouped(runs_in([tmp_path]))
    assert (group.measure, group.scores) == ("score", (20,))


def test_runs_are_found_once_in_the_order_of_their_paths(sweep, monkeypatch):
    monkeypatch.chdir(sweep.parent)
    found = runs_in([sweep / "bc_coef3-seed0", sweep, sweep.relative_to(sweep.parent)])
    names = [run.folder.name for run in found]
    assert names[0] == "bc_coef3-seed0"
    assert names[1:] == sorted(path.name for path in sweep.iterdir() if path.name != names[0])


def test_states(tmp_path):
    write_run(tmp_path / "done", (0.5,))
    begun = write_run(tmp_path / "begun", (0.5,), updates=30)
    write_run(tmp_path / "diverged", (0.5,)).divergence.write_text('{"message": "made up"}')
    states = {run.folder.name: run.state for run in runs_in([tmp_path])}
    assert states == {"done": "finished", "begun": "unfinished", "diverged": "diverged"}
    with begun.locked():
        record = read_run(begun.path)
    assert (record.state, record.update, record.updates) == ("training", 10, 30)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        runs_in([tmp_path])
    with pytest.raises(DataError, match="is no folder"):
        runs_in([tmp_path / "nowhere"])


def test_files_hold_everything(sweep):
    groups = grouped(runs_in([sweep]))
    stored = json.loads(json.dumps(as_json(groups)))
    assert stored["groups"][0]["scores"] == pytest.approx([0.2, 0.4, 0.6])
    assert stored["groups"][1]["values"] == {"bc_coef": 3.0}
    assert stored["improvements"][0]["probability"] == pytest.approx(1 / 6)
    lines = list(csv.DictReader(io.StringIO(as_csv(groups))))
    assert len(lines) == 6
    assert float(lines[5]["score"]) == pytest.approx(0.8)
    assert lines[5]["bc_coef"] == "3"
    latex = as_latex(groups)
    assert latex.count(r"\\") == 3
    assert r"bc\_coef 3" in latex
    assert "% " in latex.splitlines()[-1]
    assert as_markdown(groups).count("\n") == 4
    write_summary(sweep)
    assert json.loads((sweep / "summary.json").read_text()) == stored
    assert np.isfinite(stored["groups"][0]["mean_low"])


def test_chunks_are_a_group_of_their_own(tmp_path):
    write_run(tmp_path / "a", [0.2] * 3)
    write_run(tmp_path / "b", [0.6] * 3, chunk=5, n_step=None, replan=None)
    write_run(tmp_path / "c", [0.8] * 3, chunk=5, n_step=5, replan=5, seed=1)
    write_run(tmp_path / "d", [0.1] * 3, chunk=5, n_step=None, replan=1)
    methods = {group.method: group.seeds for group in grouped(runs_in([tmp_path]))}
    assert methods == {
        "DROL, chunk 1, replan None": (0,),
        "DROL, chunk 5, replan None": (0, 1),
        "DROL, chunk 5, replan 1": (0,),
    }


def test_runs_of_an_earlier_version_have_the_defaults_of_what_was_added_since(tmp_path):
    """Else one more seed, trained with a later version, would be another method."""
    now = hyperparameters(DROL(hidden=(8,)))
    before = {name: value for name, value in now.items() if name not in ("rho", "actor_rho", "routed_steps")}
    write_run(tmp_path / "a-before", [0.2] * 3, hyperparameters=before)
    write_run(tmp_path / "b-after", [0.4] * 3, seed=1, hyperparameters=now)
    write_run(tmp_path / "c-other", [0.9] * 3, seed=2, hyperparameters=now | {"rho": 1.0})
    methods = {group.method: group.seeds for group in grouped(runs_in([tmp_path]))}
    assert methods == {"DROL, rho 0.5": (0, 1), "DROL, rho 1": (2,)}


def test_no_module_is_imported_for_a_summary_because_a_file_names_it(tmp_path):
    write_run(tmp_path / "one", [0.2] * 3, algorithm="no_such_module:Method")
    write_run(tmp_path / "two", [0.2] * 3, seed=1, algorithm="no_such_module:Method", hyperparameters={"more": 1.0})
    assert len(grouped(runs_in([tmp_path]))) == 2
