"""OGBench tasks: names, files, relabelling, damaged input."""

import numpy as np
import ogbench
import pytest

from drol.errors import DataError
from drol.extras import quiet
from drol.sources.ogbench import names as module
from drol.sources.ogbench.collection import collect
from drol.sources.ogbench.names import known_tasks, parse_task
from drol.sources.ogbench.reading import load

TASK = "cube-single-play-singletask-task2-v0"


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    collect("cube-single-play", out=folder / "cube-single-play-v0.npz", episodes=2, steps=60)
    return folder


def test_names():
    task = parse_task(TASK)
    assert task.env_id == "cube-single-singletask-task2-v0"
    assert task.dataset == "cube-single-play-v0"
    assert parse_task("pointmaze-medium-navigate-singletask-v0").env_id == "pointmaze-medium-singletask-v0"
    assert not any("visual" in name or "powderworld" in name for name in known_tasks())


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(DataError, match=f"unknown task .*nearest known is '{TASK}'"):
        parse_task("cube-single-play-singeltask-task2-v0")


def test_data_equal_ogbench_own_loader(collected):
    """Rewards, masks and transitions are those of `ogbench.make_env_and_datasets`; from the cache folder too."""
    data = load(parse_task(TASK), cache=collected)
    with quiet():
        _, train, validation = ogbench.make_env_and_datasets(TASK, dataset_dir=str(collected))
    for ours, theirs in ((data.train, train), (data.validation, validation)):
        np.testing.assert_array_equal(ours.observations[ours.index], theirs["observations"])
        np.testing.assert_array_equal(ours.observations[ours.next_index], theirs["next_observations"])
        np.testing.assert_array_equal(ours.rewards, theirs["rewards"])
        np.testing.assert_array_equal(ours.masks, theirs["masks"])
        np.testing.assert_allclose(ours.actions, theirs["actions"], atol=2e-5)
    assert [file["name"] for file in data.source["files"]] == ["cube-single-play-v0.npz", "cube-single-play-v0-val.npz"]
    assert all(len(file["sha256"]) == 64 for file in data.source["files"])


def damaged(collected, tmp_path, change):
    """A copy of the training file with `change` applied to its columns."""
    columns = dict(np.load(collected / "cube-single-play-v0.npz"))
    change(columns)
    for suffix in ("", "-val"):
        np.savez(tmp_path / f"d{suffix}.npz", **columns)
    return tmp_path / "d.npz"


def spoil(key, row, value):
    def change(columns):
        columns[key] = columns[key].copy()
        columns[key][row] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("qpos"), "qpos missing"),
        (lambda c: c.update(actions=c["actions"][:-1]), "same number of rows"),
        (lambda c: c.update(observations=c["observations"][:, :5]), "has observations of 28 numbers"),
        (lambda c: c.update(observations=c["observations"].astype(object)), "'observations' holds Python objects"),
        (lambda c: c.update(actions=c["actions"].astype("U")), "must hold numbers"),
        (lambda c: c.update(actions=c["actions"][:, :3]), "has actions of 5 numbers"),
        (lambda c: c.update(qpos=c["qpos"][:, 0]), r"'qpos' must have shape \(any, any\)"),
        (spoil("qpos", (4, 15), np.nan), "'qpos' has 1 NaN"),
        (spoil("observations", (7, 2), np.nan), r"NaN or infinite values \(in float32\), the first in row 7"),
        (spoil("actions", (3, 0), 1.5), "actions must lie in"),
        (spoil("terminals", slice(10, 12), True), "single state"),
        (spoil("terminals", -1, False), "must be true in its last row"),
    ],
)
def test_bad_files_are_refused(collected, tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        load(parse_task(TASK), path=damaged(collected, tmp_path, change))


def test_unreadable_files_are_refused(collected, tmp_path):
    task = parse_task(TASK)
    whole = (collected / "cube-single-play-v0.npz").read_bytes()
    bad = tmp_path / "bad.npz"
    with pytest.raises(DataError, match="does not exist"):
        load(task, path=bad)
    for content in (b"", b"no zip at all", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match="not readable as an npz file"):
            load(task, path=bad)


def test_without_a_file_the_download_is_tried_and_its_failure_clear(monkeypatch, tmp_path):
    monkeypatch.setenv("DROL_OGBENCH_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"cannot be fetched.*--collect"):
        load(parse_task(TASK), cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_names_its_install_command(monkeypatch):
    import drol.extras

    monkeypatch.setattr(drol.extras.importlib.util, "find_spec", lambda name: None)
    module.known_tasks.cache_clear()
    with pytest.raises(ImportError, match=r"pip install .*-e '\.\[ogbench\]'"):
        known_tasks()
    module.known_tasks.cache_clear()
