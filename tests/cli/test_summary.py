"""`drol runs` and `drol summary`."""

import json
import subprocess
import sys

import pytest

from tests.helpers.commands import drol, error_of
from tests.helpers.summarised_runs import write_run


@pytest.fixture
def runs(tmp_path):
    for seed, value in enumerate((0.2, 0.4)):
        write_run(tmp_path / "runs" / f"drol-seed{seed}", (value,) * 3, seed=seed)
        write_run(tmp_path / "runs" / f"fql-seed{seed}", (value / 2,) * 3, seed=seed, algorithm="fql")
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")


def test_runs_are_listed(runs, capsys):
    write_run(runs / "half", (0.5, 0.6), seed=7, updates=40)
    assert drol("runs", runs) == 0
    lines = capsys.readouterr().out.splitlines()
    (half,) = [line.split() for line in lines if "half" in line]
    assert half[2:] == ["drol", "7", "unfinished", "20", "of", "40", "success", "0.60", "0.55", "(last", "2)"]
    assert sum("finished" in line for line in lines) == 5


def test_the_default_folder_is_runs(runs, capsys, monkeypatch):
    monkeypatch.chdir(runs.parent)
    assert drol("runs") == 0
    assert "fql-seed1" in capsys.readouterr().out


def test_a_summary_states_what_it_was_made_from(runs, capsys, tmp_path):
    files = {name: tmp_path / f"summary.{name}" for name in ("json", "csv", "latex", "markdown")}
    assert drol("summary", runs, *(word for name, path in files.items() for word in (f"--{name}", path))) == 0
    out = capsys.readouterr().out
    assert "success, mean of the last 3 evaluations, 2 seeds, 120 episodes" in out
    assert "DROL over FQL: 0.88" in out
    assert json.loads(files["json"].read_text())["groups"][0]["mean"] == pytest.approx(0.3)
    assert all(path.stat().st_size > 100 for path in files.values())


def test_refusals(tmp_path, runs, capsys):
    (tmp_path / "empty").mkdir()
    assert "holds no run" in error_of(capsys, "summary", runs, tmp_path / "empty")
    assert "is no folder" in error_of(capsys, "summary", tmp_path / "nowhere")
    assert "is a folder" in error_of(capsys, "summary", runs, "--json", tmp_path)


def test_they_answer_without_jax(runs):
    code = "import sys; from drol.cli.main import main; main(['summary', sys.argv[1]]); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(runs)], check=True, capture_output=True)
