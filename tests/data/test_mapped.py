"""Data larger than memory: the same draws, the same numbers, from tables on the disk."""

import contextlib
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from drol import DROL, ReplayData
from drol.data import files, mapped
from drol.data.mapped import scratch
from drol.data.replay import MappedData
from drol.data.units import normalised
from drol.errors import DataError
from drol.training.loop import chunk_numbers, draw_keys
from drol.training.pack import Pack
from tests.helpers.own_logs import episodes_of, walk, write_hdf5


def both_ways(kind, folder):
    """The same log in memory and mapped."""
    columns, path = walk(12), folder / f"log.{kind}"
    if kind == "npz":
        np.savez_compressed(path, **columns)
    elif kind == "hdf5":
        write_hdf5(path, columns)
    else:
        path.mkdir()
        for number, episode in enumerate(episodes_of(columns)):
            np.savez(path / f"{number:03}.npz", **episode)
    room = folder / "room"
    room.mkdir()
    return files.load(path), files.load(path, folder=room)


@pytest.fixture
def loaded(tmp_path):
    return both_ways("npz", tmp_path)


@pytest.mark.parametrize("kind", ["npz", "hdf5", "folder"])
def test_mapped_tables_hold_the_same_numbers(kind, tmp_path):
    plain, on_disk = both_ways(kind, tmp_path)
    assert isinstance(on_disk.train.observations, np.memmap)
    assert isinstance(on_disk.train.actions, np.memmap)
    for part in (lambda data: data, normalised):
        for name, table in vars(part(plain).train).items():
            np.testing.assert_array_equal(getattr(part(on_disk).train, name), table)


def test_a_window_holds_what_its_draws_need(loaded):
    plain, on_disk = (ReplayData.from_transitions(loaded[0].train), MappedData(loaded[1].train))
    assert (on_disk.size, on_disk.spec) == (plain.size, plain.spec)
    numbers = jax.numpy.array([5, 3, 3, 70, 11, plain.size - 1, 0])
    window = on_disk.window(lambda: numbers)
    assert window.observations.shape == (14, 3)
    jax.tree.map(np.testing.assert_array_equal, window.take(numbers), plain.take(numbers))


def test_numbers_of_a_chunk_are_those_that_its_updates_draw(loaded):
    data, key = ReplayData.from_transitions(loaded[0].train), jax.random.key(3)
    numbers = chunk_numbers(key, jax.numpy.int32(7), size=data.size, batch_size=5, length=3)
    for place in range(3):
        sample_key, _ = draw_keys(key, 7 + place)
        np.testing.assert_array_equal(numbers[place], data.draw(5, key=sample_key))


def test_training_from_the_disk_is_training_from_memory(loaded):
    algorithm, key = DROL(num_candidates=2, hidden=(8, 8)), jax.random.key(1)
    results = []
    for data in (ReplayData.from_transitions(loaded[0].train), MappedData(loaded[1].train)):
        pack = Pack([(algorithm, algorithm.init(data.spec, key=jax.random.key(0)), key)], data)
        lines = [pack.train(batch_size=16, length=5)[0][0] for _ in range(2)]
        results.append((lines, pack.state(0)))
    (lines, state), (mapped_lines, mapped_state) = results
    for line, other in zip(lines, mapped_lines, strict=True):
        assert other == pytest.approx(line, rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state, mapped_state)


def test_a_diverging_update_is_found_in_mapped_data(loaded):
    train = loaded[1].train
    train.rewards[:] = np.nan
    algorithm = DROL(num_candidates=2, hidden=(8, 8))
    data = MappedData(train)
    pack = Pack([(algorithm, algorithm.init(data.spec, key=jax.random.key(0)), jax.random.key(1))], data)
    _, (finite,) = pack.train(batch_size=4, length=3)
    assert not finite
    refused = pack.replay(0, batch_size=4, length=3)
    assert int(refused.state.step) == 0
    expected = chunk_numbers(jax.random.key(1), jax.numpy.int32(0), size=data.size, batch_size=4, length=1)
    assert refused.transitions == sorted(set(np.asarray(expected).ravel().tolist()))


def test_several_runs_cannot_share_mapped_data(loaded):
    algorithm, data = DROL(num_candidates=2, hidden=(8,)), MappedData(loaded[1].train)
    member = (algorithm, algorithm.init(data.spec, key=jax.random.key(0)), jax.random.key(1))
    with pytest.raises(ValueError, match="one run at a time, found 2 runs"):
        Pack([member, member], data)


def test_groups_and_folders_are_mapped_as_they_are_read(tmp_path):
    columns = walk(12)
    whole = columns["observations"]
    del columns["next_observations"], columns["observations"]
    parts = {"observations/b": whole[:, 1:], "observations/a": whole[:, :1]}
    write_hdf5(tmp_path / "log.hdf5", columns | parts)
    room = tmp_path / "room"
    room.mkdir()
    log = files.read(tmp_path / "log.hdf5", room)
    assert isinstance(log.observations, np.memmap)
    np.testing.assert_array_equal(log.observations, whole)
    assert files.load(tmp_path / "log.hdf5", folder=room).validation is None
    folder = tmp_path / "episodes"
    folder.mkdir()
    for number, episode in enumerate(episodes_of(walk(2))):
        kind = int if number == 0 else float
        np.savez(folder / f"{number}.npz", **episode | {"observations": episode["observations"].astype(kind)})
    with pytest.raises(DataError, match="the first episodes hold int64, a later one float64"):
        files.read(folder, room)


def test_what_is_large_is_a_share_of_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "log.npz", observations=np.zeros((1000, 10)))
    write_hdf5(tmp_path / "more.h5", {"observations": np.zeros((1000, 10))})
    monkeypatch.setattr(files, "memory_bytes", lambda: 4 * 80_000 - 1)
    assert files.is_large(tmp_path / "log.npz"), "80,000 bytes and a header are more than a quarter"
    assert files.is_large(tmp_path / "more.h5")
    assert files.is_large(tmp_path)
    monkeypatch.setattr(files, "memory_bytes", lambda: 10 * 160_000)
    assert not files.is_large(tmp_path)
    assert mapped.memory_bytes() > 2**28


SCRATCH = """
import sys, time
from drol.data.mapped import scratch
with scratch() as room:
    print(room, flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def another():
    """Another process with mapped tables, and their folder."""
    with subprocess.Popen([sys.executable, "-c", SCRATCH], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_room_on_the_disk_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setenv("DROL_SCRATCH", str(tmp_path))
    with another() as (process, left_over):
        with scratch() as room:
            assert left_over.is_dir(), "its process lives"
            (room / "table").write_bytes(b"x")
        process.kill()
        process.wait()
        assert left_over.is_dir()
        with scratch() as room:
            assert room.parent == tmp_path
            assert list(tmp_path.iterdir()) == [room]
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="somewhere else"), scratch():
        raise OSError(errno.ENOSPC, "somewhere else")


def test_tables_of_other_machines_and_whatever_else_is_there_stay(tmp_path, monkeypatch):
    """On a shared home: a process number of another machine says nothing here, nor does a name."""
    monkeypatch.setenv("DROL_SCRATCH", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        there = scratch()
        others = {there.__enter__()}
    names = ("mapped-1st-backup", f"mapped-{ended.pid}-abc", "mapped-x", "mapped-on", "mapped-9999999999999999999999-x")
    for name in (*names, f"mapped-on-{socket.gethostname()}-thesis"):
        (tmp_path / name).mkdir()
        others.add(tmp_path / name)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / f"mapped-on-{socket.gethostname()}-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"mapped-on-{socket.gethostname()}-file").touch()
    before = set(tmp_path.rglob("*"))
    with scratch() as room:
        assert set(tmp_path.rglob("*")) - {room, room / "lock"} == before
    assert set(tmp_path.rglob("*")) == before
    there.__exit__(None, None, None)


def test_a_folder_that_is_not_locked_yet_is_not_taken_for_left_over(tmp_path, monkeypatch):
    """Between its making and its lock, nobody else cleans up."""
    monkeypatch.setenv("DROL_SCRATCH", str(tmp_path))
    flock, seen = mapped.fcntl.flock, []

    def slow(handle, operation):
        if os.path.basename(os.readlink(f"/proc/self/fd/{handle}")) == "lock" and not seen:
            seen.append(True)
            command = "from drol.data.mapped import scratch\nwith scratch() as room: pass"
            cleaner = subprocess.Popen([sys.executable, "-c", command])
            with pytest.raises(subprocess.TimeoutExpired):
                cleaner.wait(timeout=2)
            seen.append(cleaner)
        flock(handle, operation)

    monkeypatch.setattr(mapped.fcntl, "flock", slow)
    with scratch() as room:
        assert seen[1].wait(timeout=30) == 0
        assert room.is_dir()
