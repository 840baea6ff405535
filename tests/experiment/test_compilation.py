"""Compiled programs that are kept between runs: the same results, and nothing compiled twice."""

import dataclasses
import json
import os

import jax
import numpy as np
import pytest
from jax import monitoring

import drol
from drol import RunConfig
from drol.experiment import compilation
from drol.experiment.compilation import kept_programs, machine_key
from tests.helpers.toy_run import WALL_CLOCK


@pytest.fixture
def caching(tmp_path, monkeypatch):
    """A user's folder for caches, and JAX's own switch on for programs of any size."""
    settings = {"jax_enable_compilation_cache": True, "jax_persistent_cache_min_compile_time_secs": 0.0}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "drol" / "compiled"
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def hits():
    """Programs that were loaded instead of compiled."""
    found = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_hits":
            found.append(event)

    monitoring.register_event_listener(listen)
    yield found
    monitoring.unregister_event_listener(listen)


def records(result):
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]


def test_results_are_the_same_without_with_and_from_kept_programs(log, tmp_path, caching, hits):
    bounds = {"action_low": -3.0, "action_high": 3.0}
    small = {"updates": 20, "eval_every": 20, "hyperparameters": {"hidden": (8,)}}
    config = RunConfig(task=str(log), no_cache=True, **bounds, **small)
    results, loaded = [], []
    for name, chosen in (("without", config), *((n, dataclasses.replace(config, no_cache=False)) for n in "ab")):
        jax.clear_caches()
        results.append(drol.train(dataclasses.replace(chosen, out=tmp_path / name), progress=False))
        loaded.append(len(hits))
        assert caching.exists() == (name != "without")
    assert loaded[1] < loaded[2], "the second start loads what the first has compiled"
    assert records(results[0]) == records(results[1]) == records(results[2])
    states = [jax.tree.leaves(result.state) for result in results]
    for leaves in states[1:]:
        assert all(map(np.array_equal, states[0], leaves))
    assert jax.config.jax_compilation_cache_dir is None, "JAX is left as it was"


def test_a_folder_that_cannot_be_written_is_no_obstacle(caching, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with kept_programs() as folder:
        assert folder is None


def test_a_cache_of_the_users_own_is_left_alone(caching, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    try:
        with kept_programs() as folder:
            assert folder is None
            assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    finally:
        jax.config.update("jax_compilation_cache_dir", None)


def test_where_jax_keeps_nothing_nothing_is_kept(caching):
    jax.config.update("jax_enable_compilation_cache", False)
    with kept_programs() as folder:
        assert folder is None
    assert not caching.exists()


def test_other_flags_versions_and_processors_have_folders_of_their_own(monkeypatch):
    keys = {machine_key()}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    keys.add(machine_key())
    monkeypatch.setattr(compilation, "processor_features", lambda: "sse2")
    keys.add(machine_key())
    monkeypatch.setattr(compilation.metadata, "version", lambda package: "99")
    keys.add(machine_key())
    assert len(keys) == 4


def test_the_folders_that_were_not_used_for_longest_are_dropped(caching):
    for age in range(5):
        folder = caching / f"old{age}"
        folder.mkdir(parents=True)
        (folder / ".used").touch()
        os.utime(folder / ".used", (1000 - age, 1000 - age))
    with kept_programs() as folder:
        assert folder.name == machine_key()
    assert {folder.name for folder in caching.iterdir()} == {"old0", "old1", machine_key()}
