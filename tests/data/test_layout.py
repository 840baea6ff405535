"""Files with one group per episode, as robomimic, ManiSkill and others write them."""

import h5py
import numpy as np
import pytest

from drol.data.files import is_large, read
from drol.data.transitions import to_transitions
from drol.errors import DataError
from tests.helpers.own_logs import episodes_of, walk, write_hdf5


def groups(columns, form, number=None):
    """The arrays of `walk` in groups, each episode with its own successors."""
    ends = np.flatnonzero(columns["terminated"] | columns["truncated"]) + 1
    numbers = number or range(len(ends))
    return {
        f"{form.format(n)}/{name}": column[start:stop]
        for n, start, stop in zip(numbers, [0, *ends[:-1]], ends, strict=True)
        for name, column in columns.items()
    }


def robomimic(columns):
    """With robomimic's names, and observations in groups of their own."""
    log = {}
    for name, column in groups(columns, "data/demo_{}").items():
        group, _, leaf = name.rpartition("/")
        if leaf in ("observations", "next_observations"):
            other = {"observations": "obs", "next_observations": "next_obs"}[leaf]
            log |= {f"{group}/{other}/place": column[:, :2], f"{group}/{other}/time": column[:, 2]}
        elif leaf == "terminated":
            log[f"{group}/dones"] = column.astype(int)
        elif leaf != "truncated":
            log[name] = column
    return log


def same(log, columns, names=("observations", "actions", "rewards", "terminated", "truncated")):
    for name in names:
        np.testing.assert_array_equal(getattr(log, name), columns[name], err_msg=name)


def test_robomimics_layout_is_read_as_episodes_in_natural_order(tmp_path):
    columns = walk(30)
    path = tmp_path / "demo.hdf5"
    write_hdf5(path, robomimic(columns))
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = "{}"
        file["data/demo_0"].attrs["num_samples"] = 5
        file["mask/train"] = np.array([b"demo_0", b"demo_1"])
        file["data/demo_0/states"] = np.zeros((5, 9))
    log = read(path)
    same(log, columns)
    np.testing.assert_array_equal(log.next_observations, columns["next_observations"])
    assert log.ends.sum() == 30
    assert len(log.notes) == 1
    assert "'dones' flags the ends of episodes and is read as true ends (terminated)" in log.notes[0]
    assert log.left_out is None
    mapped = tmp_path / "mapped"
    mapped.mkdir()
    again = read(path, mapped)
    assert isinstance(again.observations, np.memmap)
    same(again, columns)
    # What robomimic flags may be a mere cut.
    cut = read(path, columns={"truncated": "dones", "terminated": None})
    assert not cut.terminated.any()
    np.testing.assert_array_equal(cut.ends, log.ends)
    one = read(path, columns={"observations": "obs/place"})
    np.testing.assert_array_equal(one.observations, columns["observations"][:, :2])
    np.testing.assert_array_equal(one.next_observations, columns["next_observations"][:, :2])
    whole = read(path, columns={"observations": "data/demo_0/obs/place"})
    np.testing.assert_array_equal(whole.observations, one.observations)


@pytest.mark.parametrize(
    "form", ["episode_{}", "traj_{:03}", "{}", "data/demo_{}", "runs/7/episodes/ep{}", "task_{0}/demo_{0}"]
)
@pytest.mark.parametrize("final", [True, False])
def test_groups_of_episodes_are_found_at_any_depth(form, final, tmp_path):
    columns = walk(12)
    if final:
        parts = {f"{form.format(n)}/{name}": c for n, e in enumerate(episodes_of(columns)) for name, c in e.items()}
    else:
        parts = groups({name: c for name, c in columns.items() if name != "next_observations"}, form)
    write_hdf5(tmp_path / "log.h5", parts)
    log = read(tmp_path / "log.h5")
    assert log.ends.sum() == 12
    if final:
        same(log, columns, ("actions", "rewards", "terminated", "truncated"))
        assert len(to_transitions(log)) == len(columns["rewards"])
    else:
        # As for a single file of rows: what followed the last row of a cut episode is unknown.
        np.testing.assert_array_equal(log.rewards, columns["rewards"][~columns["truncated"]])
        assert log.left_out.rows == columns["truncated"].sum()
    np.savez(tmp_path / "log.npz", **parts)
    np.testing.assert_array_equal(read(tmp_path / "log.npz").rewards, log.rewards)


def test_final_observations_and_ends_on_the_way_belong_to_one_episode(tmp_path):
    columns = {"obs": np.arange(12.0).reshape(6, 2), "actions": np.zeros((5, 1)), "rewards": np.arange(5.0)}
    columns["terminated"] = np.array([0, 0, 0, 1, 1])
    write_hdf5(tmp_path / "log.h5", {f"traj_{n}/{name}": column for n in range(2) for name, column in columns.items()})
    log = read(tmp_path / "log.h5")
    assert len(log) == 10
    np.testing.assert_array_equal(log.ends, [0, 0, 0, 1, 1] * 2)
    np.testing.assert_array_equal(log.successors[log.next_index][:5], columns["obs"][1:])


@pytest.mark.parametrize("form", ["{field}/demo_{n}", "{field}_{n}", "demo_{n}_{field}", "{field}/{n}"])
def test_arrays_with_one_name_per_episode_are_episodes(form, tmp_path):
    columns, length = walk(12), 4
    # All of one length, so that they would fit side by side.
    parts = [{name: column[:length] for name, column in part.items()} for part in episodes_of(columns)]
    stored = {form.format(field=name, n=n): column for n, part in enumerate(parts) for name, column in part.items()}
    np.savez(tmp_path / "log.npz", **stored)
    log = read(tmp_path / "log.npz")
    assert log.observations.shape[1] == 3
    assert log.ends.sum() == 12
    np.testing.assert_array_equal(log.observations, np.concatenate([part["observations"] for part in parts]))


def test_numbered_parts_of_a_state_are_no_episodes(tmp_path):
    columns = {name: column for name, column in walk().items() if name != "next_observations"}
    parts = {f"observations/joint_{n}": columns["observations"][:, n] for n in range(3)}
    parts |= {f"actions/joint_{n}": columns["actions"][:, n] for n in range(2)}
    rest = {name: columns[name] for name in ("rewards", "terminated", "truncated")}
    write_hdf5(tmp_path / "log.h5", parts | rest)
    np.testing.assert_array_equal(read(tmp_path / "log.h5").observations, columns["observations"])


def test_a_single_group_is_looked_through(tmp_path):
    columns = walk()
    write_hdf5(tmp_path / "log.h5", {f"raw/data/{name}": column for name, column in columns.items()} | {"version": 2.0})
    same(read(tmp_path / "log.h5"), columns)
    states = read(tmp_path / "log.h5", columns={"observations": "raw/data/observations"})
    same(states, columns)


def test_a_robots_own_layout_is_told_what_is_missing(tmp_path):
    parts = groups(walk(200), "data/demo_{}")
    parts = {name: column for name, column in parts.items() if name.endswith(("/observations", "/actions"))}
    write_hdf5(tmp_path / "log.h5", parts)
    with pytest.raises(DataError, match=r"demo_0: expected 'observations'.* terminated missing") as caught:
        read(tmp_path / "log.h5")
    assert len(str(caught.value)) < 500
    assert "--columns terminated=none" in caught.value.shell
    assert len(read(tmp_path / "log.h5", columns={"terminated": None})) > 0
    renamed = {name.replace("actions", "action"): column for name, column in parts.items()}
    write_hdf5(tmp_path / "other.h5", renamed)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "other.h5")
    assert "--columns actions=action" in caught.value.shell
    assert len(read(tmp_path / "other.h5", columns={"actions": "action", "terminated": None})) > 0


def test_groups_of_several_kinds_are_told(tmp_path):
    columns = walk(2)
    splits = {f"{split}/{name}": column for split in ("train", "test") for name, column in columns.items()}
    write_hdf5(tmp_path / "log.h5", splits)
    with pytest.raises(DataError, match=r"several kinds of groups, test \(1\), train \(1\)") as caught:
        read(tmp_path / "log.h5")
    assert "--columns observations=test/observations,actions=test/actions" in caught.value.shell
    names = {name: f"train/{name}" for name in columns}
    same(read(tmp_path / "log.h5", columns=names), columns)


def test_empty_episodes_are_passed_over_and_told(tmp_path):
    columns = walk(3)
    parts = groups(columns, "demo_{}")
    parts |= {f"demo_7/{name}": column[:0] for name, column in columns.items()}
    write_hdf5(tmp_path / "log.h5", parts)
    log = read(tmp_path / "log.h5")
    same(log, columns)
    assert log.notes == ("episodes without rows are skipped: demo_7",)
    write_hdf5(tmp_path / "empty.h5", {f"demo_7/{name}": column[:0] for name, column in columns.items()})
    with pytest.raises(DataError, match="none of its 1 episodes has any rows"):
        read(tmp_path / "empty.h5")


def test_bounds_and_links_reach_into_episodes(tmp_path):
    columns = walk(4)
    write_hdf5(tmp_path / "log.h5", groups(columns, "episode_{}") | {"action_low": -2.0, "action_high": 2.0})
    with h5py.File(tmp_path / "log.h5", "a") as file:
        file["raw/first"] = file["episode_0/observations"]
        del file["episode_0/observations"]
        file["episode_0/observations"] = h5py.SoftLink("/raw/first")
        file["episode_0/itself"] = h5py.SoftLink("/episode_0")
        file["outside"] = h5py.ExternalLink("elsewhere.h5", "/")
    log = read(tmp_path / "log.h5")
    same(log, columns)
    assert log.action_low.tolist() == [-2, -2]


def test_arrays_by_links_of_d4rls_names(tmp_path):
    columns = walk()
    write_hdf5(tmp_path / "log.h5", {f"raw/{name}-array": column for name, column in columns.items()})
    with h5py.File(tmp_path / "log.h5", "a") as file:
        for name in columns:
            file[name] = h5py.SoftLink(f"/raw/{name}-array")
    same(read(tmp_path / "log.h5"), columns)
    with h5py.File(tmp_path / "log.h5", "a") as file:
        del file["rewards"]
        file["rewards"] = h5py.ExternalLink("elsewhere.h5", "rewards")
    with pytest.raises(DataError, match=r"'rewards' is a link to another file, 'elsewhere.h5', which is not opened"):
        read(tmp_path / "log.h5")


def test_the_size_of_episodes_counts_what_is_used(tmp_path, monkeypatch):
    columns = walk(10)
    write_hdf5(tmp_path / "log.h5", robomimic(columns) | {"data/demo_0/camera": np.zeros((5, 64, 64, 3), np.uint8)})
    used = sum(columns[name].nbytes for name in columns if name not in ("terminated", "truncated"))
    used += 8 * len(columns["rewards"])
    monkeypatch.setattr("drol.data.files.memory_bytes", lambda: used)
    assert not is_large(tmp_path / "log.h5", 1.0)
    assert is_large(tmp_path / "log.h5", 0.999)


def test_imitations_trajectories_are_read(tmp_path):
    parts = list(episodes_of(walk(7)))
    stored = {
        "obs": np.concatenate([part["observations"] for part in parts]),
        "acts": np.concatenate([part["actions"] for part in parts]),
        "rews": np.concatenate([part["rewards"] for part in parts]),
        "terminal": np.array([part["terminated"][-1] for part in parts]),
        "indices": np.cumsum([len(part["actions"]) for part in parts])[:-1],
        "infos": np.array([{}], object),
    }
    np.savez(tmp_path / "final.npz", **stored)
    same(read(tmp_path / "final.npz"), walk(7), ("actions", "rewards", "terminated", "truncated"))
    assert len(to_transitions(read(tmp_path / "final.npz")).observations) == len(stored["obs"])
    np.savez(tmp_path / "final.npz", **stored | {"obs": stored["obs"][:-1]})
    with pytest.raises(DataError, match=r"'indices' must cut .* rows of 'acts' into 7 trajectories"):
        read(tmp_path / "final.npz")


def test_a_row_is_named_in_its_file_or_group(tmp_path):
    parts = list(episodes_of(walk(3)))
    parts[1]["rewards"][2] = np.nan
    for number, part in enumerate(parts):
        np.savez(tmp_path / f"episode_{number}.npz", **part)
    with pytest.raises(DataError, match=r"'rewards' has 1 NaN .*, the first in row 2 of episode_1.npz; remove"):
        to_transitions(read(tmp_path))
    parts[1]["rewards"][2] = 0
    parts[2]["actions"][4] = 7
    write_hdf5(
        tmp_path / "log.h5", {f"data/demo_{n}/{name}": c for n, part in enumerate(parts) for name, c in part.items()}
    )
    with pytest.raises(DataError, match=r"the first is row 4 of data/demo_2 with"):
        to_transitions(read(tmp_path / "log.h5"))
    parts[2]["actions"][4] = 0
    parts[1]["observations"][-1] = np.inf
    write_hdf5(
        tmp_path / "log.h5", {f"data/demo_{n}/{name}": c for n, part in enumerate(parts) for name, c in part.items()}
    )
    with pytest.raises(DataError, match=rf"the first in row {len(parts[1]['actions'])} of data/demo_1"):
        to_transitions(read(tmp_path / "log.h5"))
