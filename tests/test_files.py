"""Files written whole, and descriptions read whatever they hold."""

import itertools
import json
import os
import stat
import threading

import pytest

from drol.errors import DataError
from drol.files import read_json, write_atomic, write_json


def test_new_files_have_the_permissions_of_the_process_and_no_other_thread_notices(tmp_path, monkeypatch):
    """Whatever a writer does to the mask of the process lasts, here, until another thread has made a file."""
    umask, made, stop, found = os.umask, threading.Event(), threading.Event(), set()

    def lasting(mask):
        before = umask(mask)
        for _ in range(2):
            made.clear()
            made.wait(5)
        return before

    def make():
        for number in itertools.count():
            path = tmp_path / f"other{number}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
            found.add(stat.S_IMODE(path.stat().st_mode))
            made.set()
            if stop.is_set():
                return

    before, thread = umask(0o077), threading.Thread(target=make)
    try:
        thread.start()
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lasting)
            write_json(tmp_path / "private.json", {})
        stop.set()
        thread.join()
        umask(0o022)
        write_json(tmp_path / "public.json", {})
    finally:
        umask(before)
        stop.set()
    assert found == {0o600}, "other threads make private files, too"
    assert stat.S_IMODE((tmp_path / "private.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public.json").stat().st_mode) == 0o644
    assert not list(tmp_path.glob("*.part"))


def test_a_pipe_or_device_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    thread = threading.Thread(target=lambda: received.append(pipe.read_text()))
    thread.start()
    write_json(pipe, {"a": 1})
    thread.join()
    assert json.loads(received[0]) == {"a": 1}
    assert pipe.is_fifo()
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert link.is_char_device()


def test_a_folder_is_not_written_over(tmp_path):
    with pytest.raises(DataError, match="is a folder; give the name of a file"):
        write_atomic(tmp_path, lambda file: file.write(b"x"))
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not readable as JSON"),
        (b"", "not readable as JSON"),
        (b"\xff\xfe{}", "not readable as JSON"),
        (b'{"a": NaN}', "it holds NaN"),
        (b"[-Infinity]", "it holds -Infinity"),
        (b"[1e999]", "1e999 is too large a number"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[" * 101 + b"]" * 101, "nested too deeply"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "not readable as JSON"),
    ],
)
def test_what_is_no_json_ends_in_one_error(tmp_path, content, words):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_json(path)


def test_what_is_json_is_read(tmp_path):
    value = {"a": [[1, 2.5, None, True, "x"]] * 200, "deep": json.loads("[" * 98 + "]" * 98)}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    (tmp_path / "file.json").write_text("[NaN, 1e999]")
    assert str(read_json(tmp_path / "file.json", finite=False)) == "[nan, inf]"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(DataError, match="should be a regular file"):
            read_json(path)
    for path in (tmp_path / "none", tmp_path / "none" / "none"):
        with pytest.raises(DataError, match="does not exist"):
            read_json(path)
    (tmp_path / "file").write_text("1")
    with pytest.raises(DataError, match="does not exist"):
        read_json(tmp_path / "file" / "none")


def test_a_description_of_enormous_size_is_not_read_into_memory(tmp_path):
    path = tmp_path / "file.json"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="should have at most 67,108,864 bytes"):
        read_json(path)
