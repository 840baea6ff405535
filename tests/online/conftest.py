"""The online run that nothing disturbs, which disturbed ones must equal."""

import pytest

from tests.helpers.toy_online import train
from tests.helpers.toy_run import new_folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    folder = new_folder(tmp_path_factory.mktemp("online") / "undisturbed")
    return folder, train(folder).state
