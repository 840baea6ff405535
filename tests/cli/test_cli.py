"""The commands as a user types them: a whole way from collection to evaluation, and every refusal."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from unittest.mock import create_autospec

import jax
import numpy as np
import pytest

from drol import DROL, RunConfig, Spec
from drol.cli import evaluate as evaluate_command
from drol.cli import train as train_command
from drol.cli.main import COMMANDS, main
from drol.environments.rollout import Evaluator
from drol.experiment import parts
from drol.experiment.progress import RunProgress
from drol.policy import POLICY_KINDS
from drol.presets import SIZES
from tests.helpers.commands import TASK, drol, error_of, train
from tests.helpers.samples import sampled


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train(data, out, "--seed", 5) == 0
    return out


def test_help_answers_at_once_and_names_every_command():
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "drol.cli.main", "--help"], capture_output=True, text=True, check=True
    )
    assert time.perf_counter() - began < 2
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    assert "usage: drol" in capsys.readouterr().out


def test_training_leaves_a_whole_run(trained, data):
    config = json.loads((trained / "config.json").read_text())
    assert config["task"] == TASK
    assert config["hyperparameters"]["bc_coef"] == pytest.approx(0.03), "the borrowed preset"
    assert config["preset"]["source"].startswith("borrowed")
    assert config["hyperparameters"]["hidden"] == [16]
    assert config["settings"]["seed"] == 5
    assert len(config["data"]["files"][0]["sha256"]) == 64
    assert config["environment"]["success_timing"] == "pre"
    assert config["versions"]["jax"]
    assert config["device"]["platform"] == "cpu"
    evaluations = [json.loads(line) for line in (trained / "evaluations.jsonl").read_text().splitlines()]
    assert [(line["update"], line["episode"]) for line in evaluations] == [(20, 0), (20, 1), (40, 0), (40, 1)]
    assert {"update", "episode", "seed", "return", "length", "success"} <= set(evaluations[0])
    assert {path.name for path in trained.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "evaluations.jsonl",
        "probes.jsonl",
        "checkpoints",
        "policies",
        "run.lock",
        "policy",
    }


def test_every_evaluation_has_episodes_of_its_own_and_seeds_have_others():
    """Of a run's seed and the update: fifty updates of three runs, no episodes twice, and the same when repeated."""

    def run(policy, *, episodes, seed, progress):
        assert episodes == 4
        seeds.append(seed)
        return []

    evaluator = create_autospec(Evaluator, instance=True)
    evaluator.run.side_effect = run
    algorithm = DROL(hidden=(8,))
    policy = algorithm.policy(algorithm.init(Spec(3, 2), key=jax.random.key(0)))

    def asked(run_seed):
        evaluate = parts.evaluation_of(evaluator, RunConfig(task=TASK, seed=run_seed, eval_episodes=4), None)
        for update in range(0, 50_000, 1000):
            evaluate(policy, update)

    seeds = []
    for run_seed in (0, 1, 2**40):
        asked(run_seed)
    assert len(set(seeds)) == 150
    first, seeds = seeds[:50], []
    asked(0)
    assert seeds == first


def test_episodes_of_two_evaluations_differ(trained):
    lines = [json.loads(line) for line in (trained / "evaluations.jsonl").read_text().splitlines()]
    assert len({line["seed"] for line in lines}) == len(lines) == 4


def test_evaluate_a_run_and_a_policy(trained, tmp_path, capsys):
    outputs = []
    for path, workers in ((trained, 1), (trained / "policy", 2)):
        file = tmp_path / f"{workers}.json"
        options = ("--policy", "centre", "--episodes", 2, "--seed", 1, "--workers", workers, "--max-steps", 25)
        assert drol("evaluate", path, *options, "--json", file) == 0
        outputs.append(json.loads(file.read_text()))
    assert outputs[0]["results"] == outputs[1]["results"]
    assert outputs[0]["episodes"] == 2
    assert outputs[0]["policy"] == "centre"
    assert "2 episodes" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), pytest.param(("--shard-batch",), marks=pytest.mark.slow)])
def test_resume_extends_a_run(trained, data, tmp_path, more):
    """On the same device, or with its batches over all of them."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    assert drol("train", TASK, "--out", out, "--resume", "--updates", 60, "--workers", 1, *more) == 0
    updates = [json.loads(line)["update"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert updates[-1] == 60
    assert json.loads((out / "config.json").read_text())["settings"]["updates"] == 60


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--bc-coef", 2), "started with bc_coef 0.03"),
        (("--seed", 6), "started with seed 5, and --resume cannot change it to 6"),
        (("--hidden", 8), "started with hidden"),
        (("--updates", 20), "can only extend it, not shorten it to 20"),
        (("--updates", 50), "--updates must be a multiple of 20, found 50; the nearest are 40 and 60"),
    ],
)
def test_resume_with_another_configuration_is_refused(trained, capsys, more, words):
    before = {path: path.read_bytes() for path in trained.glob("*.json*")}
    assert words in error_of(capsys, "train", TASK, "--out", trained, "--resume", *more)
    assert {path: path.read_bytes() for path in trained.glob("*.json*")} == before


def test_short_calls_are_noted_before_training(data, tmp_path, capsys):
    lengths = ("--updates", 6, "--eval-every", 4, "--batch-size", 8, "--hidden", 8, "--env", "none")
    lengths += ("--algorithm", "bc")
    assert drol("train", TASK, "--data", data, "--out", tmp_path / "run", *lengths) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: a run of")]
    assert [line.rpartition("; ")[2] for line in notes] == [
        "the nearest alternatives: 4 or 8 updates, or an evaluation every 6",
    ]
    assert "in compiled calls of 2 updates, " in notes[0]
    assert drol("train", TASK, "--out", tmp_path / "run", "--resume", "--env", "none", "--updates", 8) == 0
    assert "compiled calls" not in capsys.readouterr().out


def test_resume_on_other_data_is_refused(trained, data, tmp_path, capsys):
    for suffix in ("", "-val"):
        columns = dict(np.load(data.with_name(f"maze{suffix}.npz")))
        columns["observations"] = columns["observations"] + 1
        np.savez(tmp_path / f"other{suffix}.npz", **columns)
    words = error_of(capsys, "train", TASK, "--out", trained, "--resume", "--data", tmp_path / "other.npz")
    assert "started on other data" in words


def test_refusals_before_anything_is_written(trained, data, tmp_path, capsys):
    out = tmp_path / "run"
    for arguments, words in [
        (("train", "cube-singel-play-singletask-task2-v0", "--out", out), "nearest known is 'cube-single-play"),
        (("train", TASK, "--data", tmp_path / "none.npz", "--out", out), "does not exist"),
        (("train", TASK, "--data", data, "--out", trained), "add --resume"),
        (("train", TASK, "--data", data, "--out", out, "--resume"), "holds no run"),
        (
            ("train", TASK, "--data", data, "--out", out, "--num-candidates", 0),
            "--num-candidates: must be at least 1",
        ),
        (
            ("train", TASK, "--data", data, "--out", out, "--bc-coef", -1),
            "--bc-coef: must be a finite number",
        ),
        (("train", TASK, "--data", data, "--out", out, "--updates", 0), "--updates: must be at least 1, found 0"),
        (("train", TASK, "--data", data, "--out", out, "--updates", 7, "--eval-every", 5), "cannot be cut into equal"),
        (("train", TASK, "--data", data, "--collect", 1, "--out", out), "cannot be combined"),
        (("train", TASK, "--algorithm", "drool", "--out", out), "did you mean 'drol'"),
        (
            ("train", TASK, "--data", data, "--out", out, "--eval-episodes", 0),
            "--eval-episodes: must be at least 1",
        ),
        (("train", TASK, "--data", data, "--out", out, "--seed", 1, "--seeds", "0-1"), "cannot be combined"),
        (("train", TASK, "--data", data, "--out", out, "--sweep", "hidden=8,16"), "that change no shape: "),
        (("train", TASK, "--data", data, "--out", out, "--width", 0), "--width: must be at least 1, found 0"),
        (("train", TASK, "--data", data, "--out", out, "--width", 2, "--shard-batch"), "leave --width out"),
        (
            ("train", TASK, "--data", data, "--out", out, "--distributed", "--seeds", "0-1"),
            "one run over all processes",
        ),
        (("train", TASK, "--data", data, "--out", out, "--process", 1), "belong to --distributed"),
        (
            ("train", TASK, "--data", data, "--out", out, "--shard-batch", "--batch-size", 12),
            "cannot be divided among 8",
        ),
        (("train", TASK, "--data", data, "--out", out, "--sweep", "tau=0,1", "--tau", 0.5), "tau is given twice"),
        (("train", TASK, "--data", data, "--out", out, *2 * ("--sweep", "tau=0,1")), "tau is given twice"),
        (
            ("collect", "scene-play", "--seed", -1, "--out", tmp_path / "d.npz"),
            "--seed: must be a whole number",
        ),
        (("evaluate", tmp_path), "is not a policy folder"),
        (("evaluate", trained, "--seed", -1), "--seed: must be a whole number"),
        (("evaluate", trained, "--episodes", 0), "at least 1"),
        (("evaluate", trained, "--task", "cube-single-play-singletask-v0", "--episodes", 1), "observation_dim"),
        (("collect", "cube-single-pla", "--out", out / "d.npz"), "nearest is 'cube-single-play'"),
        (("bench", "step", "--candidates", 0), "at least 1"),
    ]:
        assert words in error_of(capsys, *arguments), arguments
        assert not out.exists(), arguments


@pytest.mark.parametrize(
    ("number", "status"), sampled([(signal.SIGINT, 130), (signal.SIGTERM, 143)], [(signal.SIGTERM, 143)])
)
def test_a_signal_ends_with_a_checkpoint_and_what_schedulers_understand(
    data, tmp_path, capsys, monkeypatch, number, status
):
    out, write = tmp_path / "run", RunProgress.write

    def interrupting(self, update, metrics):
        write(self, update, metrics)
        if update == 20:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(RunProgress, "write", interrupting)
    assert train(data, out) == status
    assert "continue with the same command and --resume" in capsys.readouterr().out
    monkeypatch.setattr(RunProgress, "write", write)
    assert train(data, out, "--resume") == 0
    assert len((out / "evaluations.jsonl").read_text().splitlines()) == 4


def test_collect_in_training_keeps_the_data_for_the_next_run(tmp_path, monkeypatch):
    from drol.sources.ogbench import collection as module

    calls = []
    original = module.collect

    def counted(*arguments, **options):
        calls.append(options["out"])
        return original(*arguments, **options, steps=50)

    monkeypatch.setattr(module, "collect", counted)
    for seed in (0, 1):
        options = ("--updates", 4, "--eval-every", 4, "--eval-episodes", 1, "--hidden", 8, "--workers", 1)
        options += ("--eval-max-steps", 25)
        assert drol("train", TASK, "--collect", 2, "--seed", seed, "--out", tmp_path / f"run{seed}", *options) == 0
    assert calls == [tmp_path / "data" / "pointmaze-medium-navigate-2episodes-seed0.npz"]


def test_presets_are_printed_with_their_source(capsys):
    assert drol("presets") == 0
    printed = capsys.readouterr().out
    assert "cube-single-play" in printed
    assert "laptop" in printed


@pytest.mark.ci
def test_bench_step_writes_its_records(tmp_path, monkeypatch, capsys):
    from drol.benchmarks import timing

    monkeypatch.setattr(timing, "SECONDS", 0.01)
    monkeypatch.setitem(SIZES, "laptop", dataclasses.replace(SIZES["laptop"], hidden=(32, 32)))
    file = tmp_path / "bench.json"
    chunked = ("bench", "step", "--size", "laptop", "--candidates", 2, "--chunk", 3, "--ensemble", 4, "--json", file)
    assert drol(*chunked) == 0
    (record,) = json.loads(file.read_text())
    assert (record["chunk"], record["ensemble"]) == (3, 4)
    assert "literal_ms" not in record
    assert drol("bench", "step", "--size", "laptop", "--candidates", 2, "--json", file) == 0
    (record,) = json.loads(file.read_text())
    needed = {"size", "num_candidates", "step_ms", "literal_ms", "floor_ms", "product_gflops", "winner_critic_ms"}
    assert needed <= set(record)
    assert record["step_ms"] > 0.5 * record["floor_ms"]
    assert "GFLOP/s" in capsys.readouterr().out


@pytest.mark.slow
def test_bench_scaling_times_packs_and_shards(tmp_path, monkeypatch, capsys):
    from drol.benchmarks import scaling

    monkeypatch.setattr(scaling, "LENGTH", 2)
    monkeypatch.setattr(scaling, "_shards", lambda _: [2])
    file = tmp_path / "scaling.json"
    assert drol("bench", "scaling", "--size", "laptop", "--runs", 1, 2, "--json", file) == 0
    one, two, sharded = json.loads(file.read_text())
    assert [one["runs"], two["runs"], sharded["runs"]] == [1, 2, 1]
    assert [one["devices"], two["devices"], sharded["devices"]] == [1, 2, 2]
    assert one["gain"] == 1
    assert one["exchanged"] == two["exchanged"] == {}
    assert sharded["exchanged"]["all-reduce"] > 0
    assert two["run_updates_per_second"] == pytest.approx(2 * 2 / two["chunk_ms"] * 1e3)
    assert "all-reduce" in capsys.readouterr().out


def test_the_kinds_of_policy_are_those_of_the_library():
    assert evaluate_command.KINDS == POLICY_KINDS


def test_the_chosen_algorithm_is_seen_before_the_full_parse():
    assert train_command.chosen_algorithm(["TASK", "--algorithm", "other", "--help"]) == "other"
    assert train_command.chosen_algorithm(["TASK"]) == "drol"
