"""Run folders and policy files of version 0.1: read, evaluated, and resumed as that version would have resumed them.

`version-0.1.tar.xz` holds a run of every method on logs of a scaled toy, each of 8 updates, and in `expected.json` what
version 0.1 made of them: the records of 8 updates more, and the actions of every kind of policy. Bits differ between
processors, so figures are compared to rounding; where the machine is the same, runs resume bit for bit.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from drol import load_policy
from drol.algorithms.registry import ALGORITHMS
from tests.helpers.commands import drol
from tests.helpers.samples import sampled
from tests.helpers.toy_run import WALL_CLOCK

ENVIRONMENT = "tests.toy_environment:DrolToyScaled-v0"
"""As these runs name it."""
ARCHIVE = Path(__file__).parent / "version-0.1.tar.xz"
BY_DEFAULT = ("drol", "iql", "bc")
"""With evaluations in an environment, with normalised observations, and with named columns; the others are slow."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(path, filter="data")
    return path / "version-0.1"


@pytest.fixture(scope="module")
def expected(folder):
    return json.loads((folder / "expected.json").read_text())


def test_there_is_a_run_of_every_method_of_that_version(expected):
    assert expected.keys() <= set(ALGORITHMS)
    assert len(expected) == 13


@pytest.mark.parametrize("name", sampled(ALGORITHMS, ("drol", "iql", "meanflow-ql", "bc")))
def test_policies_act_as_before(folder, expected, name):
    observations = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for kind, actions in expected[name]["actions"].items():
        policy = load_policy(folder / name, kind=None if kind == "default" else kind, seed=3)
        np.testing.assert_allclose(policy(observations), actions, atol=1e-5)


@pytest.mark.parametrize("name", sampled(ALGORITHMS, BY_DEFAULT))
def test_runs_resume_as_before(folder, expected, name):
    log = folder / ("foreign.npz" if name == "bc" else "robot.npz")
    environment = ("--env", ENVIRONMENT) if name in ("drol", "fql") else ()
    resume = ("--out", folder / name, "--resume", "--updates", 16, "--workers", 1)
    assert drol("train", log, *resume, *environment) == 0
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == len(expected[name]["metrics"])
    for found, wanted in zip(lines, expected[name]["metrics"], strict=True):
        later = {figure for figure in found if figure.startswith("routing/")}
        assert found.keys() - WALL_CLOCK - later == wanted.keys()
        for figure, value in wanted.items():
            assert found[figure] == pytest.approx(value, rel=1e-4, abs=1e-6), figure
