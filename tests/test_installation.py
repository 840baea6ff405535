"""What README, the documentation and pyproject.toml say about installing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMMANDS = [
    line
    for page in ("README.md", "proofs_checks/README.md", "docs/get-started.md", "CONTRIBUTING.md")
    for line in (ROOT / page).read_text().splitlines()
    if re.match(r"(python3|\.venv).*pip install .*-e ", line)
]


def test_ogbench_works_without_labmaze():
    assert PROJECT["tool"]["uv"]["exclude-dependencies"] == ["labmaze"]
    code = (
        "import sys; sys.modules['labmaze'] = None; import ogbench, gymnasium; gymnasium.make('ogbench:cube-single-v0')"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_install_what_is_tested_and_leave_labmaze_out(command):
    assert "uv pip install" in command, "pip cannot leave labmaze out, which has no wheel for Python 3.13"
    assert "-c .ci/constraints.txt" in command
    for extras in re.findall(r'-e "\.\[(.*?)\]"', command):
        assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


def test_every_tested_python_is_named():
    classifiers = PROJECT["project"]["classifiers"]
    versions = [name.rpartition(" ")[2] for name in classifiers if re.search(r"Python :: 3\.\d+$", name)]
    assert versions == ["3.11", "3.12", "3.13"]
    for page in ("README.md", "docs/get-started.md"):
        assert "Python 3.11, 3.12 or 3.13" in (ROOT / page).read_text()


def test_what_the_extra_for_development_has_is_what_the_archives_are_built_with():
    names = {re.split(r"[^\w-]", line)[0] for line in PROJECT["project"]["optional-dependencies"]["dev"]}
    assert {"build", "hatchling", "twine"} <= names
    pinned = {line.split("==")[0] for line in (ROOT / ".ci" / "constraints.txt").read_text().splitlines()}
    assert {"build", "hatchling", "twine", "PyYAML"} <= pinned
    (needed,) = PROJECT["build-system"]["requires"]
    assert needed in PROJECT["project"]["optional-dependencies"]["dev"]


def test_the_first_command_is_the_same_everywhere():
    (first,) = {command for command in COMMANDS if "drol train" in command}
    assert all(first in (ROOT / page).read_text() for page in ("README.md", "docs/get-started.md"))
