"""Commands in processes of their own, each on its share of the cores."""

import os
import sys

import pytest

from drol.report.commands import Commands, _shares


def test_a_command_alone_has_all_cores(tmp_path):
    program = (sys.executable, "-c", "import os, time; time.sleep(0.2); print(len(os.sched_getaffinity(0)))")
    with Commands(program, jobs=len(os.sched_getaffinity(0))) as commands:
        assert commands.run((), log=tmp_path / "share") == commands.run((), log=tmp_path / "all", alone=True) == 0
    assert int((tmp_path / "share").read_text()) == 1
    assert int((tmp_path / "all").read_text()) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cores", "jobs", "shares"),
    [
        ({4, 5, 6, 7}, 2, [{4, 6}, {5, 7}]),
        ({0, 1, 2}, 2, [{0, 2}, {1}]),
        ({3}, 2, [None, None]),
        ({0, 1}, 1, [None]),
    ],
)
def test_cores_are_divided_among_jobs(monkeypatch, cores, jobs, shares):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert _shares(jobs) == shares
