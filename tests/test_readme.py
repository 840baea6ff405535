"""README's code runs, its commands are the ones that CI and users rely on, and its figures are those of the records."""

import re
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from drol.compare.tables import caption, table

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "docs" / "results.md").read_text()
EVERYTHING = "\n".join([TEXT, *(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))])


def test_the_loop_of_the_readme_runs():
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "drol.step" in block]
    assert len(code.strip().splitlines()) <= 12
    rng = np.random.default_rng(0)
    names = {
        "observations": rng.normal(size=(64, 3)),
        "actions": rng.uniform(-1, 1, (64, 2)),
        "rewards": rng.normal(size=64),
        "terminated": np.zeros(64, bool),
        "next_observations": rng.normal(size=(64, 3)),
        "observation": jax.numpy.zeros(3),
    }
    small = code.replace("100_000", "2").replace("bc_coef=10.0", "bc_coef=10.0, hidden=(8,)")
    assert small.count("hidden=(8,)") == 1
    exec(small, names)
    assert names["action"].shape == (2,)


@pytest.mark.slow
def test_the_main_job_in_python_runs(tmp_path, monkeypatch):
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "drol.train(" in block]
    assert len([line for line in code.splitlines() if line]) <= 5
    monkeypatch.chdir(tmp_path)
    small = "collect=1, updates=2, eval_every=2, eval_episodes=1, eval_max_steps=20, workers=1, "
    small += "hyperparameters={'hidden': (8,)})"
    assert code.count("collect=150)") == 1
    names = {}
    exec(code.replace("collect=150)", small), names)
    assert names["result"].folder.is_dir()
    assert names["policy"](np.zeros(28)).shape == (5,)


def test_the_test_command_can_be_found_by_ci():
    block = re.search(r"<!-- test command -->\n```bash\n(.*?)\n```", TEXT, re.S)
    assert block
    assert ".[test]" in block[1]
    assert "pytest" in block[1]


def test_the_number_of_mutants_is_that_of_the_lists():
    stated = {int(number) for number in re.findall(r"(\d+)\s+injected\s+defects", EVERYTHING)}
    lists = sorted((ROOT / "proofs_checks").glob("*mutants.toml"))
    assert stated == {sum(len(tomllib.loads(path.read_text())["mutants"]) for path in lists)}


def test_debians_missing_package_is_named():
    assert re.search(r"apt-get install\s+\bpython3-venv\b", TEXT)


def test_no_figure_is_missing():
    assert "_TABLE" not in EVERYTHING


def test_the_results_of_the_readme_are_those_of_the_page():
    """Its last three evaluations and their mean, by seed."""
    rows = [row.split("|") for row in TEXT.splitlines() if re.match(r"\| [012] \|", row)]
    pages = [row.split("|") for row in RESULTS.splitlines() if re.match(r"\| [012] \|", row)]
    assert len(rows) == len(pages) == 3
    assert rows == [[*page[:2], *page[8:]] for page in pages]
    means = [float(row[5]) for row in rows]
    assert f"{np.mean(means):.2f}, standard deviation {np.std(means, ddof=1):.2f}".replace("0.", ".") in TEXT


def test_the_table_of_methods_is_that_of_the_stored_results():
    results = ROOT / "examples" / "comparison"
    assert table(results) in RESULTS
    assert caption(results) in " ".join(RESULTS.split())
