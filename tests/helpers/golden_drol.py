"""Stored runs of the authors' public code in this library's terms."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from drol import DROL, Batch, DROLNoise, Spec
from tests.helpers.golden_files import FOLDER, network
from tests.helpers.rounding import assert_within
from tests.helpers.small_algorithms import init

FILES = sorted(FOLDER.glob("drol-*.npz"))


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
