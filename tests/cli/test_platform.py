"""What commands say where JAX is told to use a platform that is not there."""

import os
import socket
import subprocess
import sys

import pytest

from tests.helpers.samples import sampled
from tests.helpers.toy_logs import write_log

ALONE = ("--distributed", "--coordinator", "127.0.0.1:{port}", "--processes", 1, "--process", 0)
COMMANDS = {
    "train": ("train", "log.npz", "--updates", 10),
    "distributed": ("train", "log.npz", *ALONE),
    "evaluate": ("evaluate", "run"),
    "bench": ("bench", "step"),
    "compare": ("compare", "log.npz", "--out", "comparison"),
}


def run(*command, folder, **variables):
    """A command in a fresh process: JAX starts once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | {"XLA_FLAGS": ""} | variables
    command = [sys.executable, "-W", "ignore", *map(str, command)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("platforms", "command"),
    sampled(
        [
            ("cuda", "train"),
            ("tpu", "evaluate"),
            ("gpu", "compare"),
            ("nonsense", "bench"),
            ("nonsense,cuda", "distributed"),
        ],
        [("cuda", "train"), ("nonsense,cuda", "distributed")],
    ),
)
def test_one_line_says_what_was_asked_for_and_what_there_is(platforms, command, tmp_path):
    write_log(tmp_path / "log.npz")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    words = [str(word).format(port=port) for word in COMMANDS[command]]
    done = run("-m", "drol.cli.main", *words, folder=tmp_path, JAX_PLATFORMS=platforms)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert f"JAX_PLATFORMS={platforms} asks for a platform that JAX cannot use here" in line
    assert "; available: cpu. Unset JAX_PLATFORMS" in line
    assert not done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_platform_in_the_older_variable_is_judged_too(tmp_path):
    done = run("-m", "drol.cli.main", "bench", "step", folder=tmp_path, JAX_PLATFORM_NAME="cuda")
    assert "JAX_PLATFORM_NAME=cuda asks for" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("platforms", sampled(["cpu", "cuda,cpu"], ["cuda,cpu"]))
def test_what_can_be_used_is_used(platforms, tmp_path):
    code = "from drol.experiment.platform import check_platform as c; c(); import jax; print(jax.default_backend())"
    assert run("-c", code, folder=tmp_path, JAX_PLATFORMS=platforms).stdout.strip() == "cpu"


def test_the_library_can_be_imported(tmp_path):
    code = "import drol; [getattr(drol, name) for name in drol.__all__]; print('imported')"
    assert run("-c", code, folder=tmp_path, JAX_PLATFORMS="cuda").stdout.strip() == "imported"
