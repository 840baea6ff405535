"""A log to train on."""

import pytest

from tests.helpers.toy_logs import write_log


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "robot.npz"
    write_log(path)
    return path
