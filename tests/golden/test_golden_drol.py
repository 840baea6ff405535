"""The production update against stored numbers of the authors' public code.

`DROL_GOLDEN_DIR` names another folder of such files; every `drol-*.npz` there is tried.
"""

import ast
import functools
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import DROL, Batch, DROLNoise, Spec
from tests.conftest import init
from tests.golden.rounding import adams_rounding, assert_within, ensemble, histories
from tests.golden.stored import network

FOLDER = Path(os.environ.get("DROL_GOLDEN_DIR", Path(__file__).parent))
FILES = sorted(FOLDER.glob("drol-*.npz"))

INFO = {
    "critic/critic_loss": "critic_loss",
    "critic/q_mean": "q_mean",
    "actor/actor_loss": "actor_loss",
    "actor/bc_loss": "bc_loss",
    "actor/q_loss": "q_loss",
    "actor/candidate_divergence": "centroid_divergence",
    "actor/candidate_pairwise_dist": "pairwise_distance",
}


class Golden:
    """One stored run, in this library's terms."""

    def __init__(self, path: Path):
        self.arrays = dict(np.load(path))
        config = ast.literal_eval(str(self.arrays["config"]))
        self.spec = Spec(config["obs_dim"], config["action_dim"])
        self.learning_rate = config["lr"]
        self.algorithm = DROL(
            num_candidates=config["K"],
            bc_coef=config["bc_coef"],
            q_coef=config["q_coef"],
            discount=config["discount"],
            tau=config["tau"],
            learning_rate=config["lr"],
            q_agg=config["q_agg"],
            actor_q_agg=config["actor_q_agg"],
            normalize_q=config["normalize_q"],
            hidden=tuple(config["hidden"]),
        )

    def state(self):
        """The stored initial parameters."""
        state = init(self.algorithm, self.spec, jax.random.key(0))
        networks = {
            name: network(self.arrays, f"params0/{name}", getattr(state, name))
            for name in ("actor", "critic", "target_critic")
        }
        return type(state)(
            **networks,
            actor_optimizer=state.actor_optimizer,
            critic_optimizer=state.critic_optimizer,
            step=state.step,
        )

    def network(self, prefix: str, like):
        """The stored arrays under `prefix` in the structure of `like`."""
        return network(self.arrays, prefix, like)

    def inputs(self, step: int) -> tuple[Batch, DROLNoise]:
        """The stored batch and latents of one update."""
        names = ("observations", "actions", "rewards", "masks", "next_observations")
        batch = {name: jnp.asarray(self.arrays[f"step{step}/batch/{name}"]) for name in names}
        candidates, following = (self.arrays[f"step{step}/latents/{name}"] for name in ("candidates", "next"))
        noise = DROLNoise(jnp.asarray(candidates), jnp.asarray(following)[:, None])
        return Batch(**batch, next_actions=batch["actions"]), noise


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request):
    return Golden(request.param)


def test_there_are_golden_files():
    assert FILES, f"no drol-*.npz in {FOLDER}"


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


def evaluations(golden):
    """The function of an algorithm that gives the stored gradients, and its other arguments."""

    def gradients(algorithm, *arguments):
        return algorithm.gradients(*arguments)[0]

    return [("step0/grads", gradients, (golden.state(), *golden.inputs(0)))]


def assert_gradients(golden, prefix, gradients):
    """Of an ensemble of gradients, the first is the stored one."""
    for name in ("actor", "critic"):
        ours = [getattr(member, name) for member in gradients]
        assert_within(ours, network(golden.arrays, f"{prefix}/{name}", ours[0]), f"{prefix}/{name}")


def test_first_gradients(golden):
    for prefix, gradients, inputs in evaluations(golden):
        program = eqx.filter_jit(functools.partial(gradients, golden.algorithm))
        assert_gradients(golden, prefix, ensemble(program, *inputs))
