"""The checks can fail: every deliberate defect of the library is caught by every check named for it.

Takes an hour or two, so it does not run by default: `pytest -m slow proofs_checks/test_mutants.py`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import drol
from proofs_checks.mutants import MUTANTS, table

ROOT = Path(__file__).parent.parent
SOURCE = Path(drol.__file__).parent


def run(checks, library: Path):
    """Run checks in a fresh interpreter that imports drol from `library`; returns its exit code and what failed."""
    environment = os.environ | {"PYTHONPATH": str(library), "XLA_FLAGS": "", "DROL_HYPOTHESIS_PROFILE": "first-failure"}
    options = ["-q", "--tb=no", "-rf", "-p", "no:cacheprovider", "-m", ""]
    command = [sys.executable, "-m", "pytest", *options, *checks]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, set(re.findall(r"^FAILED (\S+?::\w+)", done.stdout, re.MULTILINE)), done.stdout


def functions(checks):
    """Checks without the parameters they were restricted to."""
    return {check.split("[")[0] for check in checks}


def mutate(mutant, library: Path):
    """A copy of the library with one defect."""
    shutil.copytree(SOURCE, library / "drol", ignore=shutil.ignore_patterns("__pycache__"))
    path = library / "drol" / mutant.file
    path.write_text(path.read_text().replace(mutant.old, mutant.new))


def test_the_table_is_that_of_the_readme():
    assert table() in (Path(__file__).parent / "README.md").read_text(), "python -m proofs_checks.mutants prints it"


def test_every_check_that_the_readme_names_exists():
    """In the tables of claims, where names stand without `test_`."""
    folder = Path(__file__).parent
    source = "".join(path.read_text() for path in folder.glob("test_*.py"))
    claims = (folder / "README.md").read_text().split("## Routing invariants")[0]
    names = [
        name for row in claims.splitlines() if row.startswith("|") for name in re.findall(r"`([a-z_0-9]{12,})`", row)
    ]
    assert len(names) > 40
    assert [name for name in names if f"def test_{name}(" not in source] == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_defect_is_noticed(mutant, tmp_path):
    mutate(mutant, tmp_path)
    code, failed, output = run(mutant.caught_by, tmp_path)
    assert code == 1, output
    assert failed == functions(mutant.caught_by), f"unnoticed by {functions(mutant.caught_by) - failed}\n{output}"


@pytest.mark.slow
def test_without_a_defect_the_same_checks_pass(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "drol")
    code, failed, output = run(sorted({check for mutant in MUTANTS for check in mutant.caught_by}), tmp_path)
    assert (code, failed) == (0, set()), output
