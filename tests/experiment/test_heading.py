"""What a command says before it trains."""

import dataclasses

import numpy as np
import pytest

from drol import RunConfig
from drol.experiment.heading import heading
from drol.experiment.inputs import load_inputs
from tests.helpers.toy_logs import ENVIRONMENT


@pytest.fixture(scope="module")
def config(log):
    return RunConfig(task=str(log), env=ENVIRONMENT, updates=40, eval_every=20, eval_episodes=2).resolved()


def test_the_block_says_what_is_trained_and_where(config, tmp_path):
    data = load_inputs(config, config.resolved_task(), tmp_path)
    lines = heading([config], data, tmp_path / "run", begun=0)
    block = " ".join(line.strip() for line in lines)
    rows = len(data.train)
    ends = np.count_nonzero(data.train.next_action_index == np.arange(rows))
    assert f"data {rows:,} transitions, {ends:,} episodes" in " ".join(block.split())
    for part in (config.task, ENVIRONMENT, "2 episodes every 20 updates", "drol: num_candidates=16 bc_coef=1"):
        assert part in block
    for part in ("40 updates of 256 transitions", "cores)", f"folder       {tmp_path / 'run'}"):
        assert part in block
    assert all(len(line) <= 80 or " " not in line[13:] for line in lines)


def test_several_runs_show_what_differs(config, tmp_path):
    data = load_inputs(config, config.resolved_task(), tmp_path)
    swept = [
        dataclasses.replace(config, hyperparameters={**config.hyperparameters, "bc_coef": value})
        for value in (1.0, 3.0)
    ]
    block = " ".join(heading(swept, data, tmp_path / "runs", begun=1))
    assert "bc_coef={1,3}" in block
    assert "2 runs in" in block
    assert "(1 of them resumed)" in block


def test_a_run_that_is_not_evaluated_says_so(config, tmp_path):
    data = load_inputs(config, config.resolved_task(), tmp_path)
    block = " ".join(heading([dataclasses.replace(config, evaluated_in=None)], data, tmp_path / "run", begun=1))
    assert "none: policies are not evaluated" in block
    assert "(resumed)" in block
