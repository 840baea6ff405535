"""Data that the commands train on, and comparisons of runs that pretend."""

import json
import sys
import types

import pytest

from drol.benchmarks.peers import Competitor
from tests.helpers.commands import TASK, drol
from tests.helpers.pretended_training import SHA


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "maze.npz"
    assert drol("collect", "pointmaze-medium-navigate", "--episodes", 2, "--workers", 1, "--out", path) == 0
    return path


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Compare with commands that pretend; `compare.calls` are those of the last comparison, `out` its folder."""
    program = "import sys; from tests.helpers.pretended_training import stand_in; sys.exit(stand_in())"
    monkeypatch.setattr("drol.cli.compare.COMMAND", (sys.executable, "-c", program, str(tmp_path)))

    def bench_peers(size, competitors, *, hidden):
        run.measured.append(tuple(competitors))
        run.hidden = hidden
        for number, name in enumerate(competitors, 1):
            yield {"algorithm": name, "step_ms": 8.0, "updates_per_second": 12.34 * number, "act_ms": 0.126}

    peers = types.SimpleNamespace(bench_peers=bench_peers, Competitor=Competitor)
    monkeypatch.setitem(sys.modules, "drol.benchmarks.peers", peers)

    def run(*arguments, tasks=(TASK,), **plan):
        log = tmp_path / "calls.jsonl"
        log.unlink(missing_ok=True)
        (tmp_path / "plan.json").write_text(json.dumps({"sha": SHA} | plan))
        status = drol("compare", *tasks, "--out", run.out, *arguments)
        run.calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return status

    run.out, run.measured = tmp_path / "out", []
    return run
