"""Data that the commands train on."""

import pytest

from tests.cli.commands import drol


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "maze.npz"
    assert drol("collect", "pointmaze-medium-navigate", "--episodes", 2, "--workers", 1, "--out", path) == 0
    return path
