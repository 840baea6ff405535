"""The commands' output when nobody reads it, or it cannot be written."""

import subprocess
import sys

import pytest

from tests.helpers.samples import sampled

DROL = f"{sys.executable} -m drol.cli.main"


def shell(line):
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)


COMMANDS = ["presets", "presets --algorithm all", "--help", "--version", "train --help", "", "bench --help"]


@pytest.mark.parametrize("command", sampled(COMMANDS, ["presets", "train --help"]))
def test_a_reader_that_leaves_ends_the_command_quietly(command):
    result = shell(f"{DROL} {command} | true")
    assert result.returncode in (0, 2, 141)
    assert result.stderr == ""


@pytest.mark.slow
def test_a_reader_of_one_line():
    result = shell(f"{DROL} presets | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert result.returncode in (0, 141)
    assert result.stderr == ""


@pytest.mark.parametrize("command", sampled(["presets", "--version", "--help"], ["presets", "--version"]))
def test_a_full_disk_is_one_line(command):
    result = shell(f"{DROL} {command} > /dev/full")
    assert result.returncode == 1
    assert result.stderr == "drol: error: could not write to the standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("line", "status"),
    sampled(
        [
            ("presets >&-", 0),
            ("presets 2>&-", 0),
            ("presets <&- >&- 2>&-", 0),
            ("train nothing.npz >&-", 1),
            ("train nothing.npz 2>&-", 1),
            ("train nothing.npz 2>/dev/full", 1),
            ("trian 2>&-", 2),
            ("trian 2>/dev/full", 2),
        ],
        [("presets <&- >&- 2>&-", 0), ("train nothing.npz >&-", 1), ("train nothing.npz 2>/dev/full", 1)],
    ),
)
def test_closed_streams_change_nothing(line, status):
    result = shell(f"{DROL} {line}")
    assert result.returncode == status
    assert "Traceback" not in result.stderr
    assert "error" not in result.stdout, "messages never go where the output belongs"
