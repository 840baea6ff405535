"""The production update against stored numbers of the authors' public code.

`DROL_GOLDEN_DIR` names another folder of such files; every `drol-*.npz` there is tried.
"""

import functools

import equinox as eqx
import pytest

from tests.helpers.golden_drol import FILES, Golden, assert_gradients, evaluations
from tests.helpers.golden_files import FOLDER, network, sampled_files
from tests.helpers.rounding import adams_rounding, assert_within, ensemble, histories

INFO = {
    "critic/critic_loss": "critic_loss",
    "critic/q_mean": "q_mean",
    "actor/actor_loss": "actor_loss",
    "actor/bc_loss": "bc_loss",
    "actor/q_loss": "q_loss",
    "actor/candidate_divergence": "centroid_divergence",
    "actor/candidate_pairwise_dist": "pairwise_distance",
}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request):
    return Golden(request.param)


def test_there_are_golden_files():
    assert FILES, f"no drol-*.npz in {FOLDER}"


@pytest.mark.parametrize("golden", sampled_files(FILES), indirect=True, ids=lambda path: path.stem)
def test_losses_and_parameters_over_ten_updates(golden):
    update = eqx.filter_jit(golden.algorithm.update)
    runs = histories(update, golden.state(), [golden.inputs(step) for step in range(10)])
    stored, d = golden.arrays, golden.spec.action_dim
    for step in range(10):
        metrics = [run[step][1] for run in runs]
        for key, name in INFO.items():
            assert_within([m[name] for m in metrics], stored[f"step{step}/info/{key}"], f"step {step} {key}")
        nearest = [m["min_squared_distance"] / d for m in metrics]
        assert_within(nearest, stored[f"step{step}/info/actor/min_d2"], f"step {step} min_d2")
        losses = [m["actor_loss"] + m["critic_loss"] for m in metrics]
        assert_within(losses, stored[f"step{step}/loss"], f"step {step} loss")
    rounding = adams_rounding(10, golden.learning_rate)
    for name in ("actor", "critic", "target_critic"):
        ours = [getattr(run[-1][0], name) for run in runs]
        theirs = network(golden.arrays, f"params10/{name}", ours[0])
        assert_within(ours, theirs, f"params10/{name}", rounding)


def test_first_gradients(golden):
    for prefix, gradients, inputs in evaluations(golden):
        program = eqx.filter_jit(functools.partial(gradients, golden.algorithm))
        assert_gradients(golden, prefix, ensemble(program, *inputs))
