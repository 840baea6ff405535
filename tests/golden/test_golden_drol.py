"""The production update against stored numbers of the authors' public code.

`DROL_GOLDEN_DIR` names another folder of such files; every `drol-*.npz` there is tried.
"""

import ast
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import DROL, Batch, DROLNoise, Spec
from tests.conftest import init
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
    state = golden.state()
    update = eqx.filter_jit(golden.algorithm.update)
    for step in range(10):
        state, metrics = update(state, *golden.inputs(step))
        stored = golden.arrays
        for key, name in INFO.items():
            np.testing.assert_allclose(metrics[name], stored[f"step{step}/info/{key}"], rtol=1e-5, atol=1e-7)
        d = golden.spec.action_dim
        np.testing.assert_allclose(
            metrics["min_squared_distance"] / d, stored[f"step{step}/info/actor/min_d2"], rtol=1e-5
        )
        np.testing.assert_allclose(
            metrics["actor_loss"] + metrics["critic_loss"], stored[f"step{step}/loss"], rtol=1e-5
        )
    for name in ("actor", "critic", "target_critic"):
        ours = getattr(state, name)
        for mine, theirs in zip(
            jax.tree.leaves(ours), jax.tree.leaves(network(golden.arrays, f"params10/{name}", ours)), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-6)


def test_first_gradients(golden):
    state = golden.state()
    gradients, _ = eqx.filter_jit(golden.algorithm.gradients)(state, *golden.inputs(0))
    for name in ("actor", "critic"):
        ours = getattr(gradients, name)
        theirs = network(golden.arrays, f"step0/grads/{name}", ours)
        for mine, stored in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(mine, stored, rtol=0, atol=1e-5 * float(jnp.abs(stored).max()))
