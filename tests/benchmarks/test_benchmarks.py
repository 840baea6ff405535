"""The benchmarks measure what they say."""

import dataclasses
import json

import equinox as eqx
import jax
import numpy as np
import pytest

from drol import BC, DROL
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.benchmarks import act, arithmetic, profile, step, timing
from drol.presets import SIZES
from drol.training.loop import train_chunk
from tests.helpers.commands import drol


@pytest.fixture(autouse=True)
def small_and_short(monkeypatch):
    monkeypatch.setitem(SIZES, "laptop", dataclasses.replace(SIZES["laptop"], hidden=(32, 32)))
    monkeypatch.setattr(timing, "SECONDS", 0.01)
    monkeypatch.setattr(timing, "ROUNDS", 3)
    monkeypatch.setattr(act, "CALLS", 100)


SMALL = DROL(num_candidates=2, hidden=(16, 16))


def trained(data, key, *, calls, length):
    state = jax.jit(lambda key: SMALL.init(data.spec, key=key))(key)
    for _ in range(calls):
        state, metrics, _ = train_chunk(SMALL, state, data, key, batch_size=step.BATCH, length=length)
    return state, metrics


def test_the_benchmarks_loop_is_the_training_loop(key):
    """The same draws, the same updates: the same parameters as `train_chunk` after as many updates."""
    data = step.random_data(key)
    loop = step.Loop(SMALL, data, SMALL.update)
    loop.length = 3 - int(loop._state.step) % 3
    loop.run()
    expected, _ = trained(data, jax.random.split(jax.random.key(1), 1)[0], calls=int(loop._state.step) // 3, length=3)
    assert loop._state.step == expected.step
    for ours, theirs in zip(jax.tree.leaves(loop._state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def test_nothing_but_data_and_state_is_live_between_chunks(key):
    """No second copy of the parameters, no batch, no activation stays on the device."""
    data = step.random_data(key)
    before = {id(array) for array in jax.live_arrays()}
    state, metrics = trained(data, key, calls=2, length=3)
    live = sum(array.nbytes for array in jax.live_arrays() if id(array) not in before)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert held <= live < held + 1_000
    assert len(metrics) > 5


@pytest.mark.slow
def test_bench_step_for_several_seeds(tmp_path, capsys):
    file = tmp_path / "bench.json"
    options = ("--size", "laptop", "--candidates", 2, "--seeds", 3, "--no-literal", "--precision", "highest")
    assert drol("bench", "step", *options, "--json", file) == 0
    (record,) = json.loads(file.read_text())
    algorithm = DROL(num_candidates=2, hidden=(32, 32))
    assert record["gflop"] == pytest.approx(3 * arithmetic.update_flop(algorithm, step.SPEC, step.BATCH) / 1e9)
    networks = eqx.filter_eval_shape(algorithm.init, step.SPEC, key=jax.random.key(0))
    size = sum(leaf.size for leaf in jax.tree.leaves((networks.actor, networks.critic, networks.target_critic)))
    assert record["networks_mb"] == pytest.approx(3 * 4 * size / 1e6)
    assert "literal_ms" not in record
    assert record["precision"] == "highest"
    assert record["share_of_floor"] == pytest.approx(record["floor_ms"] / record["step_ms"])
    assert record["step_ms_range"][0] <= record["step_ms"] <= record["step_ms_range"][1]
    assert record["draws_ms"] < record["step_ms"]
    assert "precision highest" in capsys.readouterr().out


@pytest.mark.slow
def test_bench_profile_accounts_for_the_update(tmp_path, capsys):
    file = tmp_path / "profile.json"
    assert drol("bench", "profile", "--size", "laptop", "--candidates", 4, "--updates", 10, "--json", file) == 0
    (record,) = json.loads(file.read_text())
    assert set(profile.PARTS) <= set(record["parts"])
    total = sum(sum(part.values()) for part in record["parts"].values())
    assert 0.3 * (record["update_ms"] - record["idle_ms"]) < total < 3 * record["update_ms"]
    assert record["parts"]["route"]["products"] > 0
    assert record["parts"]["critic_loss"]["layer norm"] > 0
    assert record["parts"]["route"]["layer norm"] == record["parts"]["optimizer"]["products"] == 0
    assert sum(record["parts"]["other"].values()) < 0.5 * total
    assert "operations" in capsys.readouterr().out


def test_covered_time_counts_overlaps_once():
    assert profile.covered([(0.0, 4.0), (1.0, 2.0), (3.0, 6.0), (8.0, 9.0)]) == 7


def test_bench_train_accounts_for_its_seconds_and_memory(tmp_path, capsys):
    file = tmp_path / "train.json"
    assert drol("bench", "train", "--updates", 16, "--episodes", 0, "--json", file) == 0
    (record,) = json.loads(file.read_text())
    parts = ("update_s", "first_chunk_s", "evaluation_s", "other_s")
    assert sum(record[name] for name in parts) == pytest.approx(record["total_s"])
    assert min(record[name] for name in parts) >= 0
    assert record["live_mb"] >= record["data_mb"] + record["state_mb"]
    assert record["host_mb"] > record["live_mb"]
    assert "updates/s" in capsys.readouterr().out


@pytest.mark.slow
def test_bench_peers_writes_its_records(tmp_path, capsys):
    file = tmp_path / "peers.json"
    assert drol("bench", "peers", "--size", "laptop", "--algorithms", "bc", "iql", "--json", file) == 0
    records = json.loads(file.read_text())
    assert [record["algorithm"] for record in records] == ["bc", "iql"]
    for record in records:
        assert set(record) == PEERS_KEYS
        assert record["step_ms_range"][0] <= record["step_ms"] <= record["step_ms_range"][1]
        assert record["updates_per_second"] == pytest.approx(1e3 / record["step_ms"])
        assert 0 < record["act_ms"] < 1e3
        assert record["ratio"] == pytest.approx(record["compiled_gflop"] / record["gflop"])
    assert records[0]["gflop"] == arithmetic.update_flop(BC(hidden=(32, 32)), step.SPEC, step.BATCH) / 1e9
    printed = capsys.readouterr().out
    assert "ms/action" in printed
    assert "iql" in printed


PEERS_KEYS = {
    *("size", "algorithm", "batch_size", "device", "step_ms", "step_ms_range", "updates_per_second"),
    *("act_ms", "gflop", "compiled_gflop", "ratio"),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_memory_tells_networks_from_optimizers(name, key):
    """Adam holds two numbers for every weight that moves, and counters; slow copies stand still."""
    state = jax.eval_shape(lambda key: algorithm_class(name)(hidden=(16, 16)).init(step.SPEC, key=key), key)
    networks, optimizers = step.networks_and_optimizers(state)
    weights, held = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (networks, optimizers))
    slow = ("target_critic", "target_actor", "actor_metrics")
    still = sum(leaf.size for leaf in jax.tree.leaves([getattr(state, field, None) for field in slow]))
    assert 0 <= held - 2 * (weights - still) <= 2


def test_bench_act_writes_its_records(tmp_path, capsys):
    file = tmp_path / "act.json"
    assert drol("bench", "act", "--size", "laptop", "--batch", 1, 3, "--json", file) == 0
    records = json.loads(file.read_text())
    assert [record["batch_size"] for record in records] == [1, 3]
    assert all(0 < record["p50_us"] <= record["p99_us"] for record in records)
    assert "plain p50" in capsys.readouterr().out


@pytest.mark.ci
def test_bench_online_adds_up_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "ROUNDS", 3)
    file = tmp_path / "online.json"
    given = ("bench", "online", "tests.helpers.toy_environment:DrolToy-v0", "--environments", 2, "--json", file)
    assert drol(*given) == 0
    (record,) = json.loads(file.read_text())
    parts = sum(record[f"{name}_ms"] for name in ("environment", "policy", "update"))
    assert record["ratio"] == pytest.approx(record["loop_ms"] / parts)
    assert record["steps_per_second"] == pytest.approx(1e3 / record["loop_ms"])
    assert record["environments"] == 2
    assert 0.5 < record["ratio"] < 3


def test_bench_act_on_chunks_runs_the_network_in_one_call_of_five(tmp_path, monkeypatch):
    monkeypatch.setattr(act, "CALLS", 200)
    file = tmp_path / "act.json"
    assert drol("bench", "act", "--size", "laptop", "--batch", 1, "--chunk", 5, "--json", file) == 0
    (record,) = json.loads(file.read_text())
    assert record["chunk"] == 5
    assert record["p50_us"] < record["mean_us"] < record["plain_mean_us"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("step", "--seeds", 0), "--seeds: must be at least 1"),
        (("act", "--batch", 0), "--batch: must be at least 1"),
        (("train", "--updates", 3), "--updates: must be at least 8"),
    ],
)
def test_impossible_numbers_are_refused(arguments, words, capsys):
    assert drol("bench", *arguments) != 0
    assert words in capsys.readouterr().err
