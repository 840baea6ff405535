"""Stored runs of public implementations of the peers in this library's terms."""

import ast
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from drol import Batch, Spec
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from tests.helpers.golden_files import FOLDER, network
from tests.helpers.rounding import assert_within
from tests.helpers.small_algorithms import init, noise_of

FILES = sorted(path for path in FOLDER.glob("*.npz") if path.stem.split("-")[0] in set(ALGORITHMS) - {"drol"})

COMMON = {"discount": "discount", "tau": "tau", "lr": "learning_rate"}
FIELDS = {
    "fql": {"alpha": "alpha", "q_agg": "q_agg", "normalize_q_loss": "normalize_q", "flow_steps": "flow_steps"},
    "fbrac": {"alpha": "alpha", "flow_steps": "flow_steps", "normalize_q_loss": "normalize_q", "q_agg": "q_agg"},
    "fawac": {"inv_temp": "inverse_temperature", "flow_steps": "flow_steps"},
    "iql": {"expectile": "expectile"},
    "ifql": {"expectile": "expectile", "num_samples": "num_samples", "flow_steps": "flow_steps"},
    "deflow": {
        "q_agg": "q_agg",
        "normalize_q_loss": "normalize_q",
        "flow_steps": "flow_steps",
        "use_lagrange": "lagrange",
        "target_divergence": "target_divergence",
    },
    "rebrac": {
        "alpha_actor": "alpha_actor",
        "alpha_critic": "alpha_critic",
        "actor_noise": "target_noise",
        "actor_noise_clip": "noise_limit",
        "actor_freq": "actor_period",
    },
    "sorl": {
        "q_loss_coef": "q_coef",
        "bc_flow_loss_coef": "flow_coef",
        "alpha": "consistency_coef",
        "grad_clip_norm": "max_gradient_norm",
        "q_agg": "q_agg",
        "normalize_q_loss": "normalize_q",
    },
}
"""The public name of each hyperparameter -> ours."""

RHO = {0.0: "mean", 0.5: "mean-half-std", 1.0: "min"}
"""The standard deviations that one public agent subtracts from the mean of two critics -> our aggregation."""


class Golden:
    """One stored run, in this library's terms."""

    def __init__(self, path: Path):
        self.arrays = dict(np.load(path))
        self.config = config = ast.literal_eval(str(self.arrays["config"]))
        self.name = config["algorithm"]
        self.spec = Spec(config["obs_dim"], config["action_dim"])
        names = COMMON | FIELDS[self.name]
        self.options = {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
        self.options["hidden"] = tuple(config["hidden"])
        # Numbers that the public code counts otherwise; see docs of each class.
        self.actor_scale = 1.0
        if self.name == "iql":
            extraction = config["actor_loss"]
            self.options |= {"extraction": {"awr": "awr", "ddpgbc": "ddpg+bc"}[extraction]}
            self.options |= {"inverse_temperature" if extraction == "awr" else "bc_coef": config["alpha"]}
        if self.name == "deflow" and not config["use_lagrange"]:
            self.options["alpha"] = config["alpha"] ** 2
        if "rho" in config:
            self.options["q_agg"] = RHO[config["rho"]]
        if self.name == "fbrac" and "rho" in config:
            # L_FM + L_q / alpha instead of alpha L_FM + L_q; Adam must see it too, or its eps would weigh otherwise.
            self.options["alpha"] = config["alpha"]
            self.actor_scale = 1 / config["alpha"]
            self.options["optimizer"] = adam_of_scaled_flow(self.actor_scale, config["lr"])
        if self.name in ("rebrac", "sorl"):
            self.options["public_momentum" if self.name == "rebrac" else "public_update"] = True
        self.algorithm = algorithm_class(self.name)(**self.options)

    def network(self, prefix: str, like):
        """The stored arrays under `prefix` in the structure of `like`."""
        if isinstance(like, jax.Array):
            return jnp.asarray(self.arrays[f"{prefix}/value"])
        return network(self.arrays, prefix, like)

    def networks(self, prefix: str, like):
        """Every network of `like` from its stored arrays."""
        stored = {name: self.network(f"{prefix}/{name}", part) for name, part in parts(like).items()}
        return type(like)(**{name: stored.get(name) for name in vars(like)})

    def state(self, algorithm=None):
        """The stored initial parameters."""
        state = init(self.algorithm if algorithm is None else algorithm, self.spec, jax.random.key(0))
        targets = {name: self.network(f"params0/{name}", getattr(state, name)) for name in slow(state)}
        networks = self.networks("params0", state.networks)
        return type(state)(**(vars(state) | targets | {"networks": networks}))

    def inputs(self, step: int):
        """The stored batch and draws of one update."""
        names = ("observations", "actions", "rewards", "masks", "next_observations", "next_actions")
        stored = {name: self.arrays.get(f"step{step}/batch/{name}") for name in names}
        batch = {name: jnp.asarray(stored["actions"] if a is None else a) for name, a in stored.items()}
        noise_class = type(noise_of(self.algorithm, self.spec, 2, jax.random.key(0)))
        draws = {
            name.rsplit("/", 1)[1]: jnp.asarray(a) for name, a in self.arrays.items() if f"step{step}/noise/" in name
        }
        if self.name == "sorl":
            draws = sorl_draws(draws)
        return Batch(**batch), noise_class(**{name: draws[name] for name in noise_class.__dataclass_fields__})


def sorl_draws(draws):
    """The public names of SORL's draws in ours; levels come in blocks of a third, the rest at level 0."""
    rows = draws["next_latent"].shape[0]
    third = rows // 3
    levels = [2] * third + [1] * third + [0] * (rows - 2 * third)
    return {
        "critic_steps": draws["critic_k_index"].reshape(()),
        "actor_steps": draws["actor_k_index"].reshape(()),
        "next_latent": draws["next_latent"],
        "latent": draws["q_latent"],
        "flow_x0": draws["fm_x0"],
        "flow_index": draws["fm_t_index"].reshape(rows, 1),
        "consistency_x0": draws["sc_x0"],
        "consistency_level": jnp.array(levels)[:, None],
        "consistency_index": draws["sc_t_index"].reshape(rows, 1),
    }


def adam_of_scaled_flow(scale, learning_rate):
    """Adam on gradients of which the flow's are multiplied by `scale`."""

    def scaled(gradients, _=None):
        return eqx.tree_at(lambda g: g.flow, gradients, jax.tree.map(lambda leaf: scale * leaf, gradients.flow))

    return optax.chain(optax.stateless(scaled), optax.adam(learning_rate))


def parts(networks):
    """The trained networks by their public names."""
    return {name: part for name, part in vars(networks).items() if part is not None}


def slow(state):
    """The names of a state's slow networks."""
    return [name for name in vars(state) if name.startswith("target_")]


def assert_gradients(golden, prefix, gradients):
    """Of an ensemble of gradients, the first is the stored one."""
    for name in parts(gradients[0]):
        scale = golden.actor_scale if name == "flow" else 1.0
        ours = [jax.tree.map(lambda x, s=scale: s * x, parts(member)[name]) for member in gradients]
        assert_within(ours, golden.network(f"{prefix}/{name}", ours[0]), f"{prefix}/{name}")


def evaluations(golden):
    """Where gradients are stored, the function of an algorithm that gives them, and its other arguments."""
    state, inputs = golden.state(), golden.inputs(0)
    if golden.name == "sorl":
        moved = golden.networks("step0/params_after_critic", state.networks)
        return [
            ("step0/grads_critic", lambda algorithm, *a: algorithm.critic_gradients(*a)[0], (state, *inputs)),
            (
                "step0/grads_actor",
                lambda algorithm, *a: algorithm.actor_gradients(*a)[0],
                (moved.actor, state, *inputs),
            ),
        ]

    def gradients(algorithm, *arguments):
        return algorithm.gradients(*arguments)[0]

    found = [("step0/grads", gradients, (state, *inputs))]
    if golden.name == "rebrac":
        # The actor's first gradient is that of the second update.
        targets = {name: golden.network(f"params1/{name}", getattr(state, name)) for name in slow(state)}
        networks = golden.networks("params1", state.networks)
        second = type(state)(**(vars(state) | targets | {"networks": networks, "step": state.step + 1}))
        found.append(("step1/grads", gradients, (second, *golden.inputs(1))))
    return found
