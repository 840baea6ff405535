"""The peers' production updates against stored numbers of public implementations.

`DROL_GOLDEN_DIR` names another folder of such files; every file there that is named after an algorithm is tried.
"""

import ast
import dataclasses
import functools
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from drol import Batch, Choice, Spec
from drol.algorithms.optimizers import descend, optimizer_of
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from tests.conftest import init, noise_of
from tests.golden.rounding import adams_rounding, assert_within, ensemble, histories
from tests.golden.stored import network

FOLDER = Path(os.environ.get("DROL_GOLDEN_DIR", Path(__file__).parent))
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

INFO = {
    "critic/critic_loss": "critic_loss",
    "critic/value_loss": "value_loss",
    "value/value_loss": "value_loss",
    "value/v_mean": "value_mean",
    "actor/bc_flow_loss": "flow_loss",
    "actor/q_loss": "q_loss",
    "actor/alpha_loss": "alpha_loss",
    "actor/consistency_loss": "consistency_loss",
}
"""The public name of each metric -> ours."""

OWN = {
    "iql": {"actor/actor_loss": "actor_loss"},
    "fawac": {"actor/actor_loss": "actor_loss"},
    "ifql": {"actor/actor_loss": "flow_loss"},
    "fql": {"actor/distill_loss": "distillation_loss"},
    "deflow": {"actor/distill_loss": "divergence"},
}
"""The same where it depends on the algorithm."""

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


def assert_parameters(golden, number, states):
    """Networks and slow networks after `number` updates."""
    rounding = adams_rounding(number, golden.config["lr"])
    stored = {name.split("/")[1] for name in golden.arrays if name.startswith(f"params{number}/")}
    ours = [parts(state.networks) | {name: getattr(state, name) for name in slow(state)} for state in states]
    assert stored <= set(ours[0])
    for name in stored:
        members = [networks[name] for networks in ours]
        assert_within(members, golden.network(f"params{number}/{name}", members[0]), f"params{number}/{name}", rounding)


@functools.cache
def opened(path):
    return Golden(path)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request):
    return opened(request.param)


def test_every_public_agent_is_here():
    assert FILES, f"no file named after a peer in {FOLDER}"
    if "DROL_GOLDEN_DIR" not in os.environ:
        assert {path.stem.split("-")[0] for path in FILES} == set(FIELDS)


def total_loss(golden, metrics):
    """The scalar that the public code differentiates, of our metrics."""
    names = ("critic_loss", "value_loss", "actor_loss", "flow_loss")
    weights = {"actor_loss": golden.actor_scale, "flow_loss": float(golden.name in ("fql", "ifql", "deflow"))}
    if golden.name == "rebrac":
        return metrics["critic_loss"] + metrics["actor_loss"]
    return sum(weights.get(name, 1.0) * metrics[name] for name in names if name in metrics)


def stored_losses(golden, step):
    """What is stored of an update's losses, by how it is read from our metrics."""
    names = INFO | OWN.get(golden.name, {})
    if golden.name == "iql":
        del names["actor/q_loss"]
    losses = {key: lambda metrics, name=name: metrics[name] for key, name in names.items()}
    found = {f"step{step}/info/{key}": read for key, read in losses.items()}
    if golden.name == "sorl":
        found |= {f"step{step}/loss_{name}": lambda m, name=name: m[f"{name}_loss"] for name in ("critic", "actor")}
    elif golden.name != "rebrac" or golden.arrays[f"step{step}/full_update"]:
        found[f"step{step}/loss"] = functools.partial(total_loss, golden)
    return {key: read for key, read in found.items() if key in golden.arrays}


def test_losses_and_parameters_over_ten_updates(golden):
    update = eqx.filter_jit(golden.algorithm.update)
    runs = histories(update, golden.state(), [golden.inputs(step) for step in range(10)])
    checked = 0
    for step in range(10):
        for key, read in stored_losses(golden, step).items():
            assert_within([read(run[step][1]) for run in runs], golden.arrays[key], key)
            checked += 1
        if any(name.startswith(f"params{step + 1}/") for name in golden.arrays):
            assert_parameters(golden, step + 1, [run[step][0] for run in runs])
    assert checked >= 15


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


def test_first_gradients(golden):
    for prefix, gradients, inputs in evaluations(golden):
        program = eqx.filter_jit(functools.partial(gradients, golden.algorithm))
        assert_gradients(golden, prefix, ensemble(program, *inputs))


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("sorl")], ids=lambda path: path.stem)
def test_the_two_applications_of_public_sorl(path):
    """The Bellman error moves both networks; the actor's loss takes the moved actor, and the critic from before."""
    golden = opened(path)
    state, inputs = golden.state(), golden.inputs(0)
    gradients = eqx.filter_jit(golden.algorithm.critic_gradients)
    optimizer = optimizer_of(golden.algorithm)
    step = jax.jit(functools.partial(descend, optimizer))

    def application(state, *inputs):
        of_critic, _ = gradients(state, *inputs)
        after, _ = step(of_critic, state.optimizer, state.networks)
        # Less what the copy's own start adds.
        return jax.tree.map(lambda new, old: np.float64(new) - np.float64(old), after, state.networks)

    assert float(jnp.abs(gradients(state, *inputs)[0].actor.mlp.layers[0].weight).max()) > 0
    moves = ensemble(application, state, *inputs)
    theirs = golden.networks("step0/params_after_critic", state.networks)
    ours = [jax.tree.map(np.add, move, state.networks) for move in moves]
    assert_within(ours, theirs, "step0/params_after_critic", adams_rounding(1, golden.config["lr"]))


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("sorl")], ids=lambda path: path.stem)
def test_actions_of_sorl_in_several_steps_and_of_several(path):
    golden = opened(path)
    policy, arrays = golden.algorithm.policy(golden.state()), golden.arrays
    observations = arrays["act/observations"]
    for steps in (1, 2, 4, 8):
        ours = acting(dataclasses.replace(policy, steps=steps), observations, arrays["act/noise/latent"])
        assert_within(ours, arrays[f"act/actions_steps{steps}"], f"{steps} steps")
    steps, noise = int(arrays["act/best_of_n/steps"]), arrays["act/best_of_n/noise"]
    choice = Choice("best-of-n", num_samples=noise.shape[1], dense_topk=1)
    best = dataclasses.replace(policy, steps=steps, choice=choice)
    assert_within(acting(best, observations, noise), arrays["act/best_of_n/actions"], "best of n")


def acting(policy, observations, noise):
    """The ensemble of a policy's actions."""
    program = jax.jit(lambda policy, *inputs: jax.vmap(policy.act)(*inputs))
    return ensemble(program, policy, observations, noise)


def test_actions(golden):
    policy, arrays = golden.algorithm.policy(golden.state()), golden.arrays
    observations = arrays["act/observations"]
    if "act/noise/latent" in arrays:
        noise = arrays["act/noise/latent"]
    elif "act/noise/candidates" in arrays:
        noise = arrays["act/noise/candidates"]
    else:
        noise = np.zeros((len(observations), golden.spec.action_dim), np.float32)
        name = "exploration" if golden.name == "rebrac" else "gaussian"
        explored = acting(policy.with_kind("one"), observations, arrays[f"act/noise/{name}_temperature1"])
        assert_within(explored, arrays["act/actions_temperature1"], "explored")
    assert_within(acting(policy, observations, noise), arrays["act/actions"], "actions")
