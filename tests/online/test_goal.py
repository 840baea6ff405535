"""What learning online is for: a goal that the data do not contain."""

import numpy as np
import pytest

import drol
from tests.online.corridor_environment import GOAL, write_walks

ENVIRONMENT = "tests.online.corridor_environment:DrolCorridor-v0"
SMALL = {"hidden": (32, 32), "discount": 0.95, "learning_rate": 1e-3}
METHODS = {
    "drol": (SMALL | {"num_candidates": 8, "bc_coef": 1.0}, {"bc_coef": 0.1}, {}),
    "rlpd": (SMALL | {"ensemble": 2}, {}, {"prior_share": 0.5}),
}


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "walks.npz"
    write_walks(path)
    assert np.load(path)["observations"][:, 0].max() < GOAL
    return path


def offline(walks, out, method):
    config = drol.RunConfig(
        task=str(walks),
        env=ENVIRONMENT,
        algorithm=method,
        hyperparameters=METHODS[method][0],
        updates=500,
        eval_every=500,
        eval_episodes=10,
        workers=1,
        batch_size=64,
        out=out,
    )
    return drol.train(config, progress=False)


@pytest.mark.parametrize("method", ["drol", pytest.param("rlpd", marks=pytest.mark.ci)])
def test_a_goal_that_the_data_lack_is_reached_online(method, walks, tmp_path):
    """Random steps before the first update find it; the data alone teach to stay away."""
    trained = offline(walks, tmp_path / "offline", method)
    _, changed, options = METHODS[method]
    settings = drol.OnlineConfig(steps=1500, warm_up=500, warm_up_by="random", eval_every=1500, **options)
    given = {"hyperparameters": changed, "env": ENVIRONMENT, "workers": 1, "progress": False}
    online = drol.finetune(trained.folder, settings, **given)
    before, after = (result.evaluations[-1]["evaluation/success"] for result in (trained, online))
    assert before == 0
    assert after >= 0.9
