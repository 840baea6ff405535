"""Names of columns: those that mean the same, those the user gives, and those that are offered."""

import numpy as np
import pytest

from drol.data.files import load, read
from drol.data.readers.columns import parse_columns
from drol.data.readers.named_arrays import log_of_columns
from drol.errors import DataError
from tests.helpers.own_logs import rows_only, walk, write_hdf5

FOREIGN = {"observations": "obs", "actions": "acts", "rewards": "rews", "next_observations": "next_obs"}


def renamed(columns, names):
    return {names.get(name, name): column for name, column in columns.items()}


def same(log, other):
    for name in ("observations", "actions", "rewards", "terminated", "truncated", "ends", "next_observations"):
        np.testing.assert_array_equal(getattr(log, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("observations=obs", {"observations": "obs"}),
        (" observations = data/obs/state , actions=acts", {"observations": "data/obs/state", "actions": "acts"}),
        ("terminals=done,timeouts=cut", {"terminated": "done", "truncated": "cut"}),
        ("terminated=none,rewards=rews", {"terminated": None, "rewards": "rews"}),
    ],
)
def test_columns_are_parsed(text, columns):
    assert parse_columns(text) == columns


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected columns like observations=obs,actions=acts, found ''"),
        ("obs", "found 'obs'"),
        ("observations=", "found 'observations='"),
        ("obs=observations", "unknown column 'obs'; known are observations, actions"),
        ("observations=a,observations=b", r"'observations' is given twice; .* observations=a\+b"),
        ("terminated=a,terminals=b", "mean the same"),
    ],
)
def test_columns_that_say_nothing_are_refused(text, words):
    with pytest.raises(DataError, match=words):
        parse_columns(text)


def test_named_columns_are_read(tmp_path):
    columns = walk()
    np.savez(tmp_path / "log.npz", **renamed(columns, FOREIGN))
    np.savez(tmp_path / "log-val.npz", **renamed(walk(2, seed=1), FOREIGN))
    same(read(tmp_path / "log.npz", columns=FOREIGN), log_of_columns(columns, "here"))
    assert load(tmp_path / "log.npz", columns=FOREIGN).validation is not None
    same(read(tmp_path / "log.npz", tmp_path, FOREIGN), log_of_columns(columns, "here"))
    # What is named goes before what is there, by whatever name.
    columns["terminals"] = ~columns.pop("terminated")
    columns["ended"] = ~columns["terminals"]
    found = log_of_columns(columns, "here", columns={"terminated": "ended"})
    np.testing.assert_array_equal(found.terminated, walk()["terminated"])


def test_arrays_in_groups_are_named_by_path_and_laid_side_by_side(tmp_path):
    columns = rows_only(walk())
    states = columns.pop("observations")
    nested = {f"raw/{name}": column for name, column in columns.items()}
    nested |= {
        "raw/state/xy": states[:, :2],
        "raw/state/time": states[:, 2],
        "raw/eye": np.zeros((19, 8, 8, 3), np.uint8),
    }
    write_hdf5(tmp_path / "log.hdf5", nested)
    names = {name: f"raw/{name}" for name in ("actions", "rewards", "terminated", "truncated")}
    log = read(tmp_path / "log.hdf5", columns=names | {"observations": "raw/state/xy+raw/state/time"})
    np.testing.assert_array_equal(log.observations, states)
    by_group = read(tmp_path / "log.hdf5", tmp_path, names | {"observations": "raw/state"})
    np.testing.assert_array_equal(by_group.observations, states[:, [2, 0, 1]])
    with pytest.raises(DataError, match=r"there is no array 'raw/stat' for 'observations'; there are raw/"):
        read(tmp_path / "log.hdf5", columns=names | {"observations": "raw/stat"})


def test_names_that_are_not_there_hear_of_the_nearest():
    others = {f"sensor{number}": np.zeros(19) for number in range(50)}
    with pytest.raises(
        DataError, match=r"there is no array 'observation' for 'observations'; there are observations, "
    ):
        log_of_columns(walk() | others, "here", columns={"observations": "observation"})
    with pytest.raises(DataError, match=r"\.\.\. \(56 in all\)"):
        log_of_columns(walk() | others, "here", columns={"observations": "observation"})
    with pytest.raises(DataError, match=r"missing, found .*, \.\.\. \(50 in all\)") as caught:
        log_of_columns(others, "here")
    assert str(caught.value).count("sensor") == 12


@pytest.mark.parametrize(
    ("names", "option"),
    [
        (FOREIGN, "observations=obs,actions=acts,rewards=rews,next_observations=next_obs"),
        ({"observations": "State", "actions": "Action"}, "observations=State,actions=Action"),
        ({"observations": "obs/state", "rewards": "reward"}, "observations=obs,rewards=reward"),
        ({"rewards": "reward"}, "rewards=reward"),
        ({"terminated": "terminal"}, "terminated=terminal"),
    ],
)
def test_likely_names_are_offered_ready_for_use(names, option):
    columns = renamed(walk(), names)
    with pytest.raises(DataError, match="missing, found") as caught:
        log_of_columns(columns, "here")
    assert caught.value.shell.endswith(f"if you mean these, pass --columns {option}")
    assert "--" not in str(caught.value)
    assert f"columns={parse_columns(option)}" in str(caught.value)
    same(log_of_columns(columns, "here", columns=parse_columns(option)), log_of_columns(walk(), "here"))


def test_ends_of_both_kinds_tell_the_other_kind():
    columns = walk(6)
    both = columns["terminated"] | columns["truncated"]
    whole = log_of_columns(columns, "here")
    for kept, name in (("terminated", "dones"), ("terminated", "episode_terminals"), ("truncated", "done")):
        given = {
            n: c
            for n, c in columns.items()
            if n in (kept, *columns) and n not in ({"terminated", "truncated"} - {kept})
        }
        same(log_of_columns(given | {name: both[:, None]}, "here"), whole)
    # Where `terminated` is there, what else is called so may be anything.
    assert log_of_columns(columns | {"dones": np.zeros(3)}, "here").truncated is not None
    rest = {n: c for n, c in columns.items() if n != "truncated"}
    assert log_of_columns(rest | {"dones": np.zeros(3)}, "here").truncated is None


def test_ends_alone_are_what_the_user_says():
    columns = {n: c for n, c in walk(6).items() if n not in ("terminated", "truncated")}
    both = walk(6)["terminated"] | walk(6)["truncated"]
    with pytest.raises(DataError, match="'dones' does not tell true ends from time-outs") as caught:
        log_of_columns(columns | {"dones": both}, "here")
    ends, cuts = "--columns terminated=dones if all are true", "--columns truncated=dones,terminated=none if all"
    assert ends in caught.value.shell
    assert cuts in caught.value.shell
    log = log_of_columns(columns | {"dones": both}, "here", columns={"terminated": "dones"})
    np.testing.assert_array_equal(log.terminated, both)
    log = log_of_columns(columns | {"dones": both}, "here", columns={"truncated": "dones", "terminated": None})
    np.testing.assert_array_equal(log.truncated, both)
    assert not log.terminated.any()
    with pytest.raises(DataError, match=r"if no row is a true end, pass columns=\{'terminated': None\}"):
        log_of_columns(columns, "here")
    assert not log_of_columns(columns, "here", columns={"terminated": None}).terminated.any()


def test_one_option_says_all_that_is_likely():
    columns = {n: c for n, c in renamed(walk(6), FOREIGN).items() if n not in ("terminated", "truncated")}
    both = walk(6)["terminated"] | walk(6)["truncated"]
    with pytest.raises(DataError, match="missing, found") as caught:
        log_of_columns(columns | {"dones": both}, "here")
    named = ",".join(f"{name}={source}" for name, source in FOREIGN.items())
    for option in (f"{named},terminated=dones", f"{named},truncated=dones,terminated=none"):
        assert f"--columns {option} if all are" in caught.value.shell
        assert log_of_columns(columns | {"dones": both}, "here", columns=parse_columns(option)).ends.sum() == 6
    assert caught.value.shell.count("--columns") == 2
    with pytest.raises(DataError, match="if no row is a true end") as caught:
        log_of_columns(columns, "here")
    assert caught.value.shell.endswith(f"--columns {named},terminated=none")


def test_arrays_without_names_and_without_rewards_are_told(tmp_path):
    np.savez(tmp_path / "log.npz", *walk().values())
    with pytest.raises(DataError, match=r"np.savez was given arrays without names"):
        read(tmp_path / "log.npz")
    np.savez(tmp_path / "log.npz", **{name: column for name, column in walk().items() if name != "rewards"})
    with pytest.raises(DataError, match=r"'rewards' are missing; name the array that holds them \(columns=\)"):
        load(tmp_path / "log.npz")


def test_images_beside_states_are_refused_with_the_states_named(tmp_path):
    columns = rows_only(walk())
    states = columns.pop("observations")
    for images in (
        np.zeros((19, 8, 8, 3), np.uint8),
        np.zeros((19, 8, 8), np.uint8),
        np.zeros((19, 8, 8, 3), np.float32),
    ):
        parts = {"observations/eye": images, "observations/state": states, "observations/time": np.zeros(19)}
        write_hdf5(tmp_path / "log.hdf5", columns | parts)
        with pytest.raises(
            DataError, match=r"'observations/eye' holds images, .* training needs state vectors"
        ) as caught:
            read(tmp_path / "log.hdf5")
        option = "observations=observations/state+observations/time"
        assert caught.value.shell.endswith(f"--columns {option}")
        found = read(tmp_path / "log.hdf5", columns=parse_columns(option)).observations
        np.testing.assert_array_equal(found, np.append(states, np.zeros((19, 1)), axis=1))
    matrices = {"observations/pose": np.zeros((19, 3, 3)), "observations/state": states}
    write_hdf5(tmp_path / "log.hdf5", columns | matrices)
    assert read(tmp_path / "log.hdf5").observations.shape == (19, 12)


def test_columns_are_for_logs_of_your_own(tmp_path):
    from drol.sources import load as load_task
    from drol.sources import parse_task, read_log

    task = parse_task("pen-human-v1")
    with pytest.raises(DataError, match="column names can be given only for your own data"):
        load_task(task, columns=FOREIGN)
    with pytest.raises(DataError, match="column names can be given only for your own data"):
        read_log("pen-human-v1", columns=FOREIGN)
