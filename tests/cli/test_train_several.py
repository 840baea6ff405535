"""`drol train` of several runs, and by several processes."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers.commands import TASK, drol, error_of, last_update, train
from tests.helpers.ports import free_port


@pytest.mark.ci
def test_seeds_and_swept_values_are_runs_of_their_own(data, tmp_path, capsys):
    """Four runs in two programs; then one goes on alone, one is lost, and all are brought together again."""
    out = tmp_path / "runs"
    several = ("--seeds", "0-1", "--sweep", "bc_coef=1,3")
    assert train(data, out, *several, "--width", 2) == 0
    names = {f"bc_coef{value}-seed{seed}": (value, seed) for value in (1, 3) for seed in (0, 1)}
    assert {path.name for path in out.iterdir()} == {*names, "summary.json"}
    groups = json.loads((out / "summary.json").read_text())["groups"]
    assert [(group["values"], group["seeds"], group["episodes"]) for group in groups] == [
        ({"bc_coef": value}, [0, 1], 8) for value in (1, 3)
    ]
    for name, (value, seed) in names.items():
        config = json.loads((out / name / "config.json").read_text())
        assert config["hyperparameters"]["bc_coef"] == value
        assert config["settings"]["seed"] == seed
        assert config["width"] == 2
        lines = (out / name / "evaluations.jsonl").read_text().splitlines()
        assert [json.loads(line)["update"] for line in lines] == [20, 20, 40, 40]
    assert capsys.readouterr().out.count("mean success of the last 2 evaluations") == 4
    shutil.rmtree(out / "bc_coef1-seed1")
    alone = out / "bc_coef3-seed1"
    assert drol("train", TASK, "--out", alone, "--resume", "--updates", 60, "--workers", 1) == 0
    assert [last_update(out / name) for name in names if (out / name).exists()] == [40, 40, 60]
    assert "extend them to the same number with --updates" in error_of(
        capsys, "train", TASK, "--out", out, *several, "--resume"
    )
    (out / "foreign").mkdir()
    (out / "foreign" / "config.json").write_text("{}")
    assert drol("train", TASK, "--out", out, *several, "--resume", "--updates", 60, "--workers", 1) == 0
    assert "no summary was written" in capsys.readouterr().err
    assert [last_update(out / name) for name in names] == [60] * 4


@pytest.mark.slow
def test_several_seeds_find_their_width_and_report_their_spread(data, tmp_path, capsys):
    out = tmp_path / "runs"
    assert train(data, out, "--seeds", "3,5") == 0
    printed = capsys.readouterr().out
    width = json.loads((out / "seed3" / "config.json").read_text())["width"]
    assert f"{width} of 2 runs share a program" in printed
    assert "2 seeds, 8 episodes" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--seeds", "3-1", "expected seeds like 0-7"),
        ("--seeds", "0-x", "expected seeds like 0-7"),
        ("--seeds", "0-3,2", "named twice"),
        ("--sweep", "bc_coef", "expected a name and values"),
        ("--sweep", "bc_coef=1,1.0", "named twice"),
    ],
)
def test_lists_that_make_no_sense_are_refused(capsys, option, value, words):
    assert words in error_of(capsys, "train", TASK, option, value, status=(2,))


@pytest.mark.slow
def test_two_processes_train_one_run(data, tmp_path):
    """Each with two devices, found by flags and by the environment; the second keeps no files."""
    options = [
        "--updates",
        "40",
        "--eval-every",
        "20",
        "--eval-episodes",
        "2",
        "--hidden",
        "16",
        "16",
        "--workers",
        "1",
    ]
    command = [sys.executable, "-m", "drol.cli.main", "train", TASK, "--data", str(data), *options, "--distributed"]
    two_devices = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    address = f"localhost:{free_port()}"
    first = ["--out", str(tmp_path / "run"), "--coordinator", address, "--processes", "2", "--process", "0"]
    other = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
    (tmp_path / "elsewhere").mkdir()
    processes = [
        subprocess.Popen([*command, *first], env=two_devices),
        subprocess.Popen(command, env=two_devices | other, cwd=tmp_path / "elsewhere"),
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    assert last_update(tmp_path / "run") == 40
    assert len((tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()) == 4
    assert list((tmp_path / "elsewhere").iterdir()) == []
