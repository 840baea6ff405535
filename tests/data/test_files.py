"""Own logs: npz, HDF5, folders of episodes; what is read, and every refusal."""

import contextlib
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drol.data import files
from drol.data.files import load, read
from drol.data.readers.npz import read_npz
from drol.data.transitions import to_transitions
from drol.errors import DataError
from tests.helpers.own_logs import episodes_of, rows_only, walk, write_hdf5

WRITERS = {".npz": lambda path, columns: np.savez(path, **columns), ".hdf5": write_hdf5}


def pairs(data):
    """What a batch would hold: (s, a, r, mask, s') of each transition."""
    parts = (data.observations[data.index], data.actions, data.rewards, data.masks, data.observations[data.next_index])
    return np.concatenate([part.reshape(len(data), -1) for part in parts], axis=1)


def expected(columns):
    parts = [columns[n] for n in ("observations", "actions", "rewards")]
    parts += [~columns["terminated"], columns["next_observations"]]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(np.float32)


@pytest.mark.parametrize("suffix", WRITERS)
def test_tuples_are_read_as_they_are(suffix, tmp_path):
    columns = walk()
    WRITERS[suffix](tmp_path / f"log{suffix}", columns)
    data = to_transitions(read(tmp_path / f"log{suffix}"))
    np.testing.assert_allclose(pairs(data), expected(columns), atol=2e-5)
    assert len(data.observations) == len(data) + 3, "each final state once more"
    ends = np.flatnonzero(columns["terminated"] | columns["truncated"])
    np.testing.assert_array_equal(np.flatnonzero(data.next_action_index == np.arange(len(data))), ends)


@pytest.mark.parametrize("names", [("terminals", "timeouts"), ("terminations", "truncations")])
def test_rows_without_successors_take_the_next_row_and_leave_time_outs_out(names, tmp_path):
    columns = walk(6)
    raw = rows_only(columns)
    raw |= {names[0]: raw.pop("terminated"), names[1]: raw.pop("truncated")}
    np.savez(tmp_path / "log.npz", **raw)
    data = to_transitions(read(tmp_path / "log.npz"))
    kept = ~columns["truncated"]
    found, wanted = pairs(data), expected(columns)[kept]
    bootstrapped = wanted[:, 6] == 1
    np.testing.assert_allclose(found[bootstrapped], wanted[bootstrapped], atol=2e-5)
    np.testing.assert_allclose(found[:, :7], wanted[:, :7], atol=2e-5)


def test_the_last_row_of_a_cut_file_is_left_out():
    columns = rows_only(walk(1))
    columns = {name: column[:3] for name, column in columns.items()}
    log = files.log_of_columns(columns, "here")
    assert len(log) == 2
    assert log.ends.tolist() == [False, True]
    assert log.truncated.tolist() == [False, True]


def test_rows_that_are_left_out_are_counted_with_their_rewards(tmp_path):
    columns = rows_only(walk(6))
    lost = columns["truncated"]
    columns["rewards"] = np.where(lost, 1.5, 0)
    log = files.log_of_columns(columns, "here")
    assert (log.left_out.rows, log.left_out.rewards, log.left_out.reward_sum) == (4, 4, 6)
    for number in range(3):
        np.savez(tmp_path / f"{number}.npz", **columns)
    assert read(tmp_path).left_out.rows == 12
    (note,) = load(tmp_path).notes
    assert "12 rows are left out, because their next observation is unknown" in note
    assert "their rewards sum to 18 (12 of them are not 0)" in note
    np.savez(tmp_path / "0.npz", **walk(6))
    assert load(tmp_path / "0.npz").notes == ()
    assert files.log_of_columns(walk(6), "here").left_out is None


def test_a_row_that_is_both_cut_and_ended_stays_both():
    columns = rows_only(walk(2))
    columns["truncated"][4] = True
    log = files.log_of_columns(columns, "here")
    assert columns["terminated"][4]
    assert (log.terminated & log.truncated).tolist() == [row == 4 for row in log.rows]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_of_episodes_is_one_log(suffix, tmp_path):
    columns = walk(5)
    for number, episode in enumerate(episodes_of(columns)):
        WRITERS[suffix](tmp_path / f"episode{number:03}{suffix}", episode)
    (tmp_path / "notes.txt").write_text("not data")
    log = read(tmp_path)
    np.testing.assert_allclose(pairs(to_transitions(log)), expected(columns), atol=2e-5)
    np.testing.assert_array_equal(log.truncated, columns["truncated"])
    mapped = tmp_path / "mapped"
    mapped.mkdir()
    again = read(tmp_path, mapped)
    assert isinstance(again.observations, np.memmap)
    np.testing.assert_array_equal(again.observations, log.observations)


def test_groups_of_observations_are_laid_side_by_side_in_alphabetical_order(tmp_path):
    columns = rows_only(walk())
    observations = columns.pop("observations")
    parts = {"observations/velocity": observations[:, 2:], "observations/position/xy": observations[:, :2]}
    write_hdf5(tmp_path / "log.hdf5", columns | parts)
    np.testing.assert_array_equal(read(tmp_path / "log.hdf5").observations, observations)


def test_bounds_rescale_actions_and_policies_speak_the_users_units(tmp_path):
    low, high = np.array([-3.0, 0.0]), np.array([1.0, 10.0])
    columns = walk(3, low=low, high=high)
    np.savez(tmp_path / "stated.npz", **columns, action_low=low, action_high=high)
    np.savez(tmp_path / "plain.npz", **columns)
    with pytest.raises(DataError, match=r"actions must lie in \[-1, 1\]; .* rows do not.*bounds="):
        load(tmp_path / "plain.npz")
    for data in (load(tmp_path / "stated.npz"), load(tmp_path / "plain.npz", bounds=(low, high))):
        back = data.units.action_outward(data.train.actions)
        np.testing.assert_allclose(back, columns["actions"], atol=2e-4)
        assert np.abs(data.train.actions).max() <= 1
    assert load(tmp_path / "plain.npz", default_bounds=(low, high)).units is not None
    one = load(tmp_path / "plain.npz", bounds=(np.array([-3.0]), np.array([10.0])))
    assert one.units.action_low.tolist() == [-3, -3]
    np.savez(tmp_path / "scalar.npz", **columns, action_low=-3.0, action_high=10)
    assert load(tmp_path / "scalar.npz").units.action_high.tolist() == [10, 10]
    with pytest.raises(DataError, match=r"actions must lie in \[0. 0.\] to \[1. 1.\]"):
        load(tmp_path / "plain.npz", bounds=(np.zeros(2), np.ones(2)))
    with pytest.raises(DataError, match="the lower below the higher"):
        load(tmp_path / "plain.npz", bounds=(high, low))


def test_a_bound_alone_is_refused(tmp_path):
    np.savez(tmp_path / "log.npz", **walk(), action_low=-1)
    with pytest.raises(DataError, match="'action_low' and 'action_high' belong together"):
        read(tmp_path / "log.npz")


@pytest.mark.parametrize("suffix", WRITERS)
def test_other_arrays_may_hold_whatever_they_like(suffix, tmp_path):
    others = {"camera": np.zeros((19, 64, 64, 3), np.uint8), "metadata": np.array(["any", "text"], "S4")}
    WRITERS[suffix](tmp_path / f"log{suffix}", walk() | others)
    assert len(read(tmp_path / f"log{suffix}")) == 19
    np.savez(tmp_path / "objects.npz", **walk(), notes=np.array([{"an": "object"}], object))
    assert len(read(tmp_path / "objects.npz")) == 19
    assert files._bytes_of(tmp_path / f"log{suffix}", {}) < 19 * 64 * 64


def test_tables_of_different_precision_still_make_episodes():
    columns = {name: column for name, column in walk(4).items() if name != "truncated"}
    columns["next_observations"] = columns["next_observations"].astype(np.float32)
    log = files.log_of_columns(columns, "here")
    assert log.ends.sum() == 4
    data = to_transitions(log)
    assert (data.next_action_index == np.arange(len(data))).sum() == 4


def test_validation_data_must_be_of_the_same_kind(tmp_path):
    np.savez(tmp_path / "log.npz", **walk())
    columns = walk(2)
    np.savez(tmp_path / "log-val.npz", **columns | {"actions": columns["actions"][:, :1]})
    with pytest.raises(DataError, match="validation file: all files must have the same format, but 'actions' differ"):
        load(tmp_path / "log.npz")


def test_one_episode_in_twenty_is_held_out_or_the_file_beside_is_taken(tmp_path):
    columns = walk(40)
    np.savez(tmp_path / "log.npz", **columns)
    data = load(tmp_path / "log.npz")
    starts = np.concatenate([[0], np.flatnonzero(columns["terminated"] | columns["truncated"])[:-1] + 1])
    held_out = np.concatenate([np.arange(starts[n], [*starts, len(columns["rewards"])][n + 1]) for n in (19, 39)])
    np.testing.assert_allclose(data.validation.rewards, columns["rewards"][held_out].astype(np.float32))
    assert len(data.train) + len(data.validation) == len(columns["rewards"])
    assert not set(map(tuple, data.train.observations)) & set(map(tuple, data.validation.observations))
    np.savez(tmp_path / "log-val.npz", **walk(2, seed=1))
    assert len(load(tmp_path / "log.npz").train) == len(columns["rewards"])
    np.savez(tmp_path / "few.npz", **walk(19))
    assert load(tmp_path / "few.npz").validation is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("terminated"), "terminated missing, found actions, next_observations"),
        (
            lambda c: c.update(dones=c.pop("terminated") | c.pop("truncated")),
            "'dones' does not tell true ends from time-outs: split it, or pass columns=",
        ),
        (lambda c: c.update(terminals=c["terminated"]), "'terminated' and 'terminals' mean the same"),
        (lambda c: c.update(actions=c["actions"][:-1]), r"'actions' must have shape \(19, n\), found \(18, 2\)"),
        (lambda c: c.update(rewards=c["rewards"][:-1]), r"'rewards' must be numbers of shape \(19,\), found \(18,\)"),
        (lambda c: c.update(truncated=c["truncated"] * 0.5), "'truncated' must be 0 or 1, found 0.5 in row 11"),
        (lambda c: c.update(observations=c["observations"].astype(str)), "'observations' must hold numbers"),
        (lambda c: c["next_observations"].__setitem__((4, 1), np.inf), "'next_observations' has 1 NaN .* in row 4"),
        (lambda c: c["actions"].__setitem__((6, 1), np.nan), "'actions' has 1 NaN .* in row 6"),
        (lambda c: c["actions"].__setitem__((6, 1), 2), "1 rows do not, the first is row 6"),
        (lambda c: c.pop("rewards"), "'rewards' are missing"),
        (lambda c: c.update({n: column[:0] for n, column in c.items()}), "at least one transition"),
    ],
)
def test_bad_logs_are_refused_with_key_and_row(change, words, tmp_path):
    columns = walk()
    change(columns)
    np.savez(tmp_path / "log.npz", **columns)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "log.npz")


def test_files_of_one_folder_must_be_alike(tmp_path):
    first, second = list(episodes_of(walk(2)))
    np.savez(tmp_path / "a.npz", **first)
    np.savez(tmp_path / "b.npz", **second | {"actions": second["actions"][:, :1]})
    with pytest.raises(DataError, match=r"'actions' differ in .*a.npz and .*b.npz"):
        read(tmp_path)
    np.savez(tmp_path / "b.npz", **second, action_low=np.zeros(2), action_high=np.ones(2))
    with pytest.raises(DataError, match="the same bounds"):
        read(tmp_path)
    flags = np.zeros(len(second["actions"]), bool)
    flags[1] = True
    np.savez(tmp_path / "b.npz", **second | {"terminated": flags})
    with pytest.raises(DataError, match="must be a single episode, but it ends in row 1 of"):
        read(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="expected one file per episode"):
        read(empty)


def test_python_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.savez(tmp_path / "log.npz", **walk() | {"rewards": np.array([Bomb()], object)})
    for folder in (None, tmp_path):
        with pytest.raises(DataError, match="'rewards' holds Python objects, which are not unpickled"):
            read_npz(tmp_path / "log.npz", folder)
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        file["observations"] = ["of any length", "strings"]
    with pytest.raises(DataError, match="expected numbers"):
        read(tmp_path / "log.hdf5")
    assert not (tmp_path / "exploded").exists()


@contextlib.contextmanager
def clearly(path):
    """Let pass what works, and what is refused by one message that names the file."""
    refusal = None
    try:
        yield
    except DataError as error:
        refusal = str(error)
    assert refusal is None or str(path) in refusal


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.sampled_from([".npz", ".hdf5"]), st.booleans(), st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path, suffix, mapped, data):
    path = tmp_path / f"log{suffix}"
    WRITERS[suffix](path, walk())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 10, 0]))])
    with clearly(path):
        to_transitions(read(path, tmp_path if mapped else None))


SHAPES = [(), (0,), (0, 2), (4, 0), (4,), (5,), (4, 2), (5, 3), (1, 1), (4, 2, 2)]
VALUES = [0.0, 1.0, np.nan, np.inf, 1e300, True, 7, "text", 1j, b"bytes"]
COLUMN = st.builds(np.full, st.sampled_from(SHAPES), st.sampled_from(VALUES))
NAMES = ("observations", "actions", "rewards", "terminated", "truncated", "next_observations", "action_low", "qpos")


@FUZZ
@given(st.dictionaries(st.sampled_from([*NAMES, "observations/x", "timeouts", "action_high"]), COLUMN), st.booleans())
def test_whatever_the_arrays_are_the_answer_is_clear(tmp_path, columns, base):
    path = tmp_path / "log.npz"
    np.savez(path, **(walk(1) if base else {}) | columns)
    with clearly(path):
        load(path)


def test_a_missing_file_and_an_unknown_kind(tmp_path):
    for name in ("none.npz", "none.hdf5", "log.csv"):
        with pytest.raises(DataError, match="does not exist"):
            read(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(DataError, match="found none"):
        read(tmp_path / "empty.npz")
