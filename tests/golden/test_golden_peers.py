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
import pytest

from drol import Batch, Spec
from drol.algorithms.learner import descend, optimizer_of
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from tests.conftest import init, noise_of
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
            # L_FM + L_q / alpha instead of alpha L_FM + L_q.
            self.options["alpha"] = config["alpha"]
            self.actor_scale = 1 / config["alpha"]
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


def parts(networks):
    """The trained networks by their public names."""
    return {name: part for name, part in vars(networks).items() if part is not None}


def slow(state):
    """The names of a state's slow networks."""
    return [name for name in vars(state) if name.startswith("target_")]


def assert_tree(ours, theirs, *, rtol=0.0, atol=0.0):
    for mine, stored in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, stored, rtol=0, atol=atol + rtol * float(jnp.abs(stored).max()))


def assert_parameters(golden, number, state, tolerance):
    """Networks and slow networks after `number` updates."""
    stored = {name.split("/")[1] for name in golden.arrays if name.startswith(f"params{number}/")}
    ours = parts(state.networks) | {name: getattr(state, name) for name in slow(state)}
    assert stored <= set(ours)
    for name in stored:
        assert_tree(ours[name], golden.network(f"params{number}/{name}", ours[name]), atol=tolerance)


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


def test_losses_and_parameters_over_ten_updates(golden):
    state = golden.state()
    update = eqx.filter_jit(golden.algorithm.update)
    tolerance = 1e-5 if golden.name == "sorl" or golden.config["tau"] > 0.01 else 2e-6
    checked = 0
    for step in range(10):
        state, metrics = update(state, *golden.inputs(step))
        rtol = 1e-5 if step == 0 else 1e-4
        for key, name in (INFO | OWN.get(golden.name, {})).items():
            if golden.name == "iql" and name == "q_loss":
                continue
            stored = golden.arrays.get(f"step{step}/info/{key}")
            if stored is not None:
                np.testing.assert_allclose(metrics[name], stored, rtol=rtol, atol=rtol, err_msg=f"{step} {key}")
                checked += 1
        if f"params{step + 1}/critic/dense_0/bias" in golden.arrays or golden.name == "rebrac":
            assert_parameters(golden, step + 1, state, tolerance)
    assert checked >= 10


def assert_gradients(golden, prefix, gradients):
    for name, part in parts(gradients).items():
        scale = golden.actor_scale if name == "flow" else 1.0
        ours = jax.tree.map(lambda x, s=scale: s * x, part)
        assert_tree(ours, golden.network(f"{prefix}/{name}", part), rtol=1e-5, atol=1e-9)


def test_first_loss_and_gradients(golden):
    if golden.name == "sorl":
        return  # two applications, see the next test
    state = golden.state()
    gradients, metrics = eqx.filter_jit(golden.algorithm.gradients)(state, *golden.inputs(0))
    assert_gradients(golden, "step0/grads", gradients)
    if golden.name == "rebrac":
        # The actor's first gradient is that of the second update.
        state, _ = eqx.filter_jit(golden.algorithm.update)(state, *golden.inputs(0))
        gradients, metrics = eqx.filter_jit(golden.algorithm.gradients)(state, *golden.inputs(1))
        assert_gradients(golden, "step1/grads", gradients)
        loss, stored = metrics["actor_loss"], golden.arrays["step1/info/actor/total_loss"]
    else:
        names = ("critic_loss", "value_loss", "actor_loss", "flow_loss")
        weights = {"actor_loss": golden.actor_scale, "flow_loss": float(golden.name in ("fql", "ifql", "deflow"))}
        loss = sum(weights.get(name, 1.0) * metrics[name] for name in names if name in metrics)
        stored = golden.arrays["step0/loss"]
    np.testing.assert_allclose(loss, stored, rtol=1e-5)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("sorl")], ids=lambda path: path.stem)
def test_the_two_applications_of_public_sorl(path):
    """The Bellman error moves both networks; the actor's loss takes the moved actor, and the critic from before."""
    golden = opened(path)
    state, inputs = golden.state(), golden.inputs(0)
    gradients, metrics = eqx.filter_jit(golden.algorithm.critic_gradients)(state, *inputs)
    assert float(jnp.abs(gradients.actor.mlp.layers[0].weight).max()) > 0
    assert_gradients(golden, "step0/grads_critic", gradients)
    np.testing.assert_allclose(metrics["critic_loss"], golden.arrays["step0/loss_critic"], rtol=1e-5)
    optimizer = optimizer_of(golden.algorithm)
    networks, _ = jax.jit(functools.partial(descend, optimizer))(gradients, state.optimizer, state.networks)
    assert_tree(networks, golden.networks("step0/params_after_critic", networks), atol=2e-6)
    gradients, metrics = eqx.filter_jit(golden.algorithm.actor_gradients)(networks.actor, state, *inputs)
    assert_gradients(golden, "step0/grads_actor", gradients)
    np.testing.assert_allclose(metrics["actor_loss"], golden.arrays["step0/loss_actor"], rtol=1e-5)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("sorl")], ids=lambda path: path.stem)
def test_actions_of_sorl_in_several_steps_and_of_several(path):
    golden = opened(path)
    policy, arrays = golden.algorithm.policy(golden.state()), golden.arrays
    observations = jnp.asarray(arrays["act/observations"])

    def act(noise, **options):
        chosen = dataclasses.replace(policy, **options)
        return jax.jit(jax.vmap(chosen.act))(observations, jnp.asarray(noise))

    for steps in (1, 2, 4, 8):
        ours = act(arrays["act/noise/latent"], steps=steps)
        np.testing.assert_allclose(ours, arrays[f"act/actions_steps{steps}"], rtol=0, atol=1e-5)
    steps, noise = int(arrays["act/best_of_n/steps"]), arrays["act/best_of_n/noise"]
    best = act(noise, steps=steps, num_samples=noise.shape[1], dense_topk=1, kind="best-of-n")
    np.testing.assert_allclose(best, arrays["act/best_of_n/actions"], rtol=0, atol=1e-5)


def test_actions(golden):
    policy = golden.algorithm.policy(golden.state())
    arrays = golden.arrays
    observations = jnp.asarray(arrays["act/observations"])

    def act(policy, noise):
        return jax.jit(jax.vmap(policy.act))(observations, noise)

    if "act/noise/latent" in arrays:
        noise = jnp.asarray(arrays["act/noise/latent"])
    elif "act/noise/candidates" in arrays:
        noise = jnp.asarray(arrays["act/noise/candidates"])
    else:
        noise = jnp.zeros((len(observations), golden.spec.action_dim))
        name = "exploration" if golden.name == "rebrac" else "gaussian"
        explored = act(policy.with_kind("one"), jnp.asarray(arrays[f"act/noise/{name}_temperature1"]))
        np.testing.assert_allclose(explored, arrays["act/actions_temperature1"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(act(policy, noise), arrays["act/actions"], rtol=0, atol=1e-5)
