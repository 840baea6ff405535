"""An existing file is never an unknown task: what is read, whatever it is called, and what is said of the rest."""

import io
import json
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from drol.data.files import load, read
from drol.data.readers.formats import data_files
from drol.errors import DataError
from drol.sources import OWN, parse_task, read_log
from tests.helpers.own_logs import episodes_of, walk, write_hdf5


def refusal(path, **options):
    """What is said of a path, whichever way it is asked for."""
    with pytest.raises(DataError) as first:
        parse_task(str(path), present=True)
    with pytest.raises(DataError) as second:
        read_log(str(path), **options)
    assert str(first.value) == str(second.value)
    assert str(path) in str(first.value)
    assert "unknown task" not in str(first.value)
    return str(first.value)


def npz_bytes():
    file = io.BytesIO()
    np.savez(file, **walk())
    return file.getvalue()


@pytest.mark.parametrize("name", ["log.NPZ", "log.Npz", "log", "log.data", "log.hdf5"])
def test_npz_files_are_read_whatever_they_are_called(name, tmp_path):
    (tmp_path / name).write_bytes(npz_bytes())
    assert len(read_log(str(tmp_path / name))) == 19
    assert parse_task(str(tmp_path / name), present=True).source is OWN


@pytest.mark.parametrize("name", ["log.H5", "log.HDF5", "log.hdf", "log.he5", "log", "log.mat", "log.npz"])
def test_hdf5_files_are_read_whatever_they_are_called(name, tmp_path):
    write_hdf5(tmp_path / name, walk())
    assert len(read_log(str(tmp_path / name))) == 19


def test_hdf5_may_begin_behind_a_block_of_its_own(tmp_path):
    with h5py.File(tmp_path / "log.mat", "w", userblock_size=512) as file:
        for name, column in walk().items():
            file[name] = column
    with open(tmp_path / "log.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    assert len(read(tmp_path / "log.mat")) == 19


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("log.pkl", pickle.dumps({"observations": [1]}), "is a pickle, and nothing is unpickled"),
        ("log.p", pickle.dumps([1], protocol=0), "is a pickle, and nothing is unpickled"),
        ("log.npz", pickle.dumps({"observations": [1]}), "is a pickle, and nothing is unpickled"),
        ("log.npy", b"\x93NUMPY\x01\x00", "holds a single array; store all arrays in one file: np.savez"),
        ("log.npz", b"\x93NUMPY\x01\x00", "holds a single array"),
        ("log.csv", b"a,b\n1,2\n", "is a table of text; read it with pandas.read_csv, .* np.savez"),
        ("log.CSV", b"a,b\n1,2\n", "pandas.read_csv"),
        ("log.parquet", b"PAR1....PAR1", "pandas.read_parquet"),
        ("data-00000", b"PAR1....PAR1", "pandas.read_parquet"),
        ("log.json", b"{}", "Python's json"),
        ("log.jsonl", b"{}", "Python's json"),
        ("log.mat", b"MATLAB 5.0 MAT-file", "scipy.io.loadmat"),
        ("log.tfrecord", b"....", "TensorFlow"),
        ("log.npz.gz", b"\x1f\x8b\x08", "is a packed archive; unpack it, then name its files"),
        ("log.npz", b"\x1f\x8b\x08", "is a packed archive; unpack it, then name its files"),
        ("log.mp4", b"....", "training needs state vectors"),
        ("log.npz", b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer, not the file itself"),
        ("log.hdf5", b"<!DOCTYPE html><html>", "is a web page, left by a failed download; download the file again"),
        ("log.xyz", b"....", "is of an unknown kind; store its arrays: np.savez"),
        ("log", b"....", "is of an unknown kind"),
        ("log.npz", b"", "is empty \\(0 bytes\\)"),
        ("log.hdf5", b"", "is empty \\(0 bytes\\)"),
        ("log", b"", "is empty \\(0 bytes\\)"),
    ],
)
def test_an_existing_file_is_never_an_unknown_task(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    said = refusal(tmp_path / name)
    for part in words.replace("\\", "").split(" .* "):
        assert part in said
    if "bytes" not in words:
        assert "npz and HDF5 files (.npz, .hdf5, .h5, .hdf, .he5) and folders of them are read" in said


@pytest.mark.parametrize(
    ("name", "members", "words"),
    [
        ("model.pt", ["archive/data.pkl", "archive/data/0"], "is a pickle"),
        ("table.xlsx", ["xl/workbook.xml"], "pandas.read_excel"),
        ("logs.zip", ["a.npz"], "is a packed archive; unpack it, then name its files"),
    ],
)
def test_zip_archives_are_told_apart(name, members, words, tmp_path):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    assert words in refusal(tmp_path / name)


def test_damaged_and_plain_archives_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "plain.npz", "w") as archive:
        archive.writestr("notes.txt", "x")
    (tmp_path / "cut.npz").write_bytes(npz_bytes()[:-200])
    write_hdf5(tmp_path / "whole.h5", walk())
    (tmp_path / "cut.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:3000])
    for name, words in (
        ("plain.npz", "is a zip archive without arrays, found notes.txt"),
        ("cut.npz", "is not readable as an npz file .* cut off or damaged"),
        ("cut.h5", "is not readable as an HDF5 file .* cut off or damaged"),
    ):
        with pytest.raises(DataError, match=words):
            read(tmp_path / name)


def test_a_path_that_is_not_there_names_the_nearest(tmp_path, monkeypatch):
    np.savez(tmp_path / "walks.npz", **walk())
    (tmp_path / "notes.txt").write_text("nothing")
    for name in ("walk.npz", "Walks.h5", "walks.csv"):
        assert f"{name} does not exist; the nearest there is 'walks.npz'" in refusal(tmp_path / name)
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "walks.npz")
    (tmp_path / "link.npz").symlink_to("gone.npz")
    assert "is a symbolic link to gone.npz, which does not exist" in refusal(tmp_path / "link.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"unknown task 'walks'; there is a file walks.npz, and the nearest known is"):
        parse_task("walks")
    with pytest.raises(DataError, match="unknown task 'D4RL/pen'; the nearest known is"):
        parse_task("D4RL/pen")
    (tmp_path / "good.npz").symlink_to("walks.npz")
    assert len(read_log("good.npz")) == 19


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "log.npz")
    assert "is not a regular file but a pipe or a device" in refusal(tmp_path / "log.npz")


@pytest.mark.parametrize("name", ["log.npz", "log"])
def test_permissions_are_told(name, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(npz_bytes())
    opened = open

    def refuse(path, *arguments, **options):
        if str(path) == str(tmp_path / name):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", refuse)  # the tests may run as a user who may read everything
    assert "may not be read by this user (permission denied)" in refusal(tmp_path / name)


def test_files_of_a_folder_are_read_in_natural_order(tmp_path):
    for number in (10, 2, 1):
        np.savez(tmp_path / f"episode_{number}.NPZ", **walk(1, seed=number))
        (tmp_path / f"episode_{number}.NPZ.npz").rename(tmp_path / f"episode_{number}.NPZ")
    log = read(tmp_path)
    expected = np.concatenate([walk(1, seed=number)["rewards"] for number in (1, 2, 10)])
    np.testing.assert_array_equal(log.rewards, expected)


def test_a_folder_of_episode_folders_is_read(tmp_path):
    columns = walk(12)
    for number, episode in enumerate(episodes_of(columns)):
        place = tmp_path / "data" / f"episode_{number}"
        place.mkdir(parents=True)
        np.savez(place / "trajectory.npz", **episode)
        (place / "meta.json").write_text("{}")
    (tmp_path / "data" / ".cache").mkdir()
    np.testing.assert_array_equal(read(tmp_path).rewards, columns["rewards"])
    names = [file["name"] for file in load(tmp_path / "data").source["files"]]
    assert names[:3] == ["episode_0/trajectory.npz", "episode_1/trajectory.npz", "episode_2/trajectory.npz"]


def test_folders_that_hold_no_log_say_what_they_hold(tmp_path):
    assert "the folder is empty" in refusal(tmp_path)
    for name in ("observations.npy", "actions.npy", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    said = refusal(tmp_path)
    assert "found none, only 2 of .npy, 1 of .txt; store all arrays in one file: np.savez" in said
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / split).mkdir()
        for number in range(count):
            np.savez(tmp_path / split / f"{number}.npz", **walk(1))
    assert "its sub-folders hold several data files each, test (2), train (3); name one of them" in refusal(tmp_path)
    write_hdf5(tmp_path / "train" / "0.h5", walk(1))
    assert "holds 0.h5, 0.npz: the same episode twice?" in refusal(tmp_path / "train")
    (tmp_path / "test" / "2.npz").symlink_to("gone.npz")
    assert "2.npz is a symbolic link to gone.npz, which does not exist" in refusal(tmp_path / "test")
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (run / name).write_text(json.dumps({}))
    assert "found a run folder" in refusal(run)
    assert [file.name for file in data_files(tmp_path / "test")] == ["0.npz", "1.npz", "2.npz"]


def test_object_arrays_are_named_with_the_remedy_and_others_let_be(tmp_path):
    ragged = np.empty(3, object)
    ragged[:] = [np.zeros(2), np.zeros(3), np.zeros(1)]
    np.savez(tmp_path / "good.npz", **walk(), infos=ragged)
    np.savez(tmp_path / "bad.npz", **walk() | {"observations": ragged})
    assert len(read(tmp_path / "good.npz", tmp_path)) == 19
    for folder in (None, tmp_path):
        with pytest.raises(DataError) as caught:
            read(tmp_path / "bad.npz", folder)
        assert "'observations' holds Python objects, which are not unpickled; store one file per" in str(caught.value)
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        for name, column in walk().items():
            if name != "rewards":
                file[name] = column
        ragged_numbers = file.create_dataset("rewards", (2,), h5py.vlen_dtype(np.float32))
        ragged_numbers[0] = [1, 2]
    with pytest.raises(DataError, match=r"'rewards' holds strings or lists of any length.*store one group or file per"):
        read(tmp_path / "bad.h5")
