"""JSON lines: whole, cut back, honest on a full disk."""

import errno
import json
import os
import subprocess
import sys
import types

import pytest

from drol.errors import DataError
from drol.files import read_json, sha256, write_atomic, write_json
from drol.training.records import JsonLines, TensorBoardSink, WandbSink


@pytest.fixture
def lines(tmp_path):
    lines = JsonLines(tmp_path / "metrics.jsonl")
    for update in (10, 20, 30):
        lines.append({"update": update, "loss": update / 3})
    return lines


def test_append_and_cut(lines, tmp_path):
    before = (tmp_path / "metrics.jsonl").read_bytes()
    lines.append({"update": 40, "loss": 1.0}, {"update": 40, "loss": 2.0})
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"update": 50, "lo')
    lines.cut(30)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    lines.cut(0)
    assert lines.read() == []


def test_infinity_becomes_null(lines):
    lines.append({"update": 40, "margin": float("inf"), "loss": float("nan")})
    assert lines.read()[-1] == {"update": 40, "margin": None, "loss": None}


FULL = """
import resource, signal, sys
from pathlib import Path
from drol.training.records import JsonLines

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
try:
    JsonLines(Path(sys.argv[1])).append(*({"update": 40, "loss": 1.0} for _ in range(20)))
except OSError as error:
    print(error)
"""


def test_a_full_disk_leaves_whole_lines(lines, tmp_path):
    """The operating system takes the first bytes and refuses the rest: none of them stay."""
    path = tmp_path / "metrics.jsonl"
    before = path.read_bytes()
    result = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert "metrics.jsonl: the file would exceed the allowed size" in result.stdout
    assert path.read_bytes() == before


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "config.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    assert len(sha256(path)) == 64

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        write_atomic(path, lambda file: file.write(b"half"))
    assert read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["config.json"]


def test_unreadable_json_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        read_json(tmp_path / "bad.json")


def test_tensorboard_receives_scalars(tmp_path):
    sink = TensorBoardSink(tmp_path / "tb")
    sink.write(10, {"loss": 0.5, "text": "ignored"})
    sink.close()
    assert any(path.stat().st_size > 0 for path in (tmp_path / "tb").iterdir())


def test_lines_are_json(lines, tmp_path):
    for text in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(text)


def test_wandb_receives_metrics_by_update(tmp_path, monkeypatch):
    """Against a stand-in with wandb's interface: the package is optional."""
    logged = []
    run = types.SimpleNamespace(
        log=lambda metrics, step: logged.append((step, metrics)), finish=lambda: logged.append("end")
    )
    stand_in = types.ModuleType("wandb")
    stand_in.__spec__ = types.SimpleNamespace()
    stand_in.init = lambda **options: logged.append(options) or run
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    sink = WandbSink("project", {"seed": 1}, tmp_path)
    sink.write(10, {"loss": 0.5})
    sink.close()
    options = {"project": "project", "name": tmp_path.name, "config": {"seed": 1}, "dir": str(tmp_path)}
    assert logged == [options | {"reinit": "create_new"}, (10, {"loss": 0.5}), "end"]


def test_a_missing_sink_names_its_extra(tmp_path):
    with pytest.raises(ImportError, match=r"'wandb', which is not installed; .*pip install .*-e '\.\[wandb\]'"):
        WandbSink("project", {}, tmp_path)
