"""The peers' production updates against stored numbers of public implementations.

`DROL_GOLDEN_DIR` names another folder of such files; every file there that is named after an algorithm is tried.
"""

import dataclasses
import functools
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import Choice
from drol.algorithms.optimizers import descend, optimizer_of
from tests.helpers.golden_files import FOLDER, sampled_files
from tests.helpers.golden_peers import FIELDS, FILES, Golden, assert_gradients, evaluations, parts, slow
from tests.helpers.rounding import adams_rounding, assert_within, ensemble, histories

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


@pytest.mark.parametrize("golden", sampled_files(FILES), indirect=True, ids=lambda path: path.stem)
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
