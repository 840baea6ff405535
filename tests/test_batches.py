"""What `step`, `init` and policies are given: refused by the name of the field, before anything is computed."""

import functools
import json
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol
from drol.algorithm import checked_batch
from tests.helpers.batches import SPEC, random_batch

ALGORITHM = drol.DROL(hidden=(4,), num_candidates=2)
ROWS = 4


def step(batch, algorithm=ALGORITHM, spec=SPEC):
    """Shapes alone: every check is one of shapes."""
    key = jax.random.key(0)
    state = jax.eval_shape(lambda key: algorithm.init(spec, key=key), key)
    return jax.eval_shape(lambda state: drol.step(algorithm, state, batch, key=key), state)


def changed(**fields):
    """A batch with other fields, past the type checker that these tests install."""
    batch = random_batch(jax.random.key(1), ROWS)
    return eqx.tree_at(lambda b: [getattr(b, name) for name in fields], batch, list(fields.values()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rewards": jnp.zeros((ROWS, 1))}, r"batch.rewards must have shape \(4,\) .* \(4, 1\); drop the last axis"),
        ({"masks": jnp.zeros((ROWS, 1))}, r"batch.masks must have shape \(4,\) .*, found \(4, 1\)"),
        ({"rewards": jnp.zeros((2, 1))}, r"batch.rewards must have shape \(4,\) .*, found \(2, 1\)"),
        ({"masks": jnp.zeros(())}, r"batch.masks must have shape \(4,\) .*, found \(\)"),
        ({"observations": jnp.zeros(4)}, r"batch.observations must have shape \(rows, observation\), found \(4,\); a"),
        ({"observations": jnp.zeros((ROWS, 5))}, r"batch.next_observations must have shape \(4, 5\) .* found \(4, 4\)"),
        ({"actions": jnp.zeros((3, 3))}, r"batch.actions must have shape \(4, 3\) .*, found \(3, 3\)"),
        ({"next_actions": jnp.zeros((ROWS, 2))}, r"batch.next_actions must have shape \(4, 3\) .*, found \(4, 2\)"),
        (
            {"observations": jnp.zeros((0, 4))},
            r"batch.observations must have shape .*, found \(0, 4",
        ),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_a_field_of_another_shape_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        step(changed(**fields))


def test_two_rewards_in_a_column_do_not_pass():
    """(2, 1) against (2,) broadcasts to (2, 2) without a word."""
    batch = random_batch(jax.random.key(1), 2)
    with pytest.raises(ValueError, match=r"batch.rewards must have shape"):
        step(eqx.tree_at(lambda b: b.rewards, batch, batch.rewards[:, None]))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (changed(rewards=[0.0] * ROWS), "batch.rewards must be an array, found list"),
        (changed(rewards=np.array(["a"] * ROWS)), "batch.rewards must hold numbers, found type <U1"),
        (changed(masks=None), "batch.masks must be an array, found NoneType"),
    ],
    ids=["list", "strings", "none"],
)
def test_what_is_no_batch_of_arrays_is_refused(batch, message):
    with pytest.raises(TypeError, match=message):
        checked_batch(batch)


def test_widths_other_than_the_states_are_refused():
    with pytest.raises(ValueError, match="built for observation_dim 7, but the batch has 4"):
        step(changed(), spec=drol.Spec(7, 3))
    with pytest.raises(ValueError, match="built for action_dim 2, but the batch has 3"):
        step(changed(), spec=drol.Spec(4, 2))


@pytest.mark.parametrize("kind", ["int32", "bool", "uint8"])
def test_rewards_and_masks_of_whole_numbers_count_as_floats(kind, key):
    state = ALGORITHM.init(SPEC, key=key)
    bits = np.array([0, 1, 1, 0])
    run = jax.jit(lambda batch: drol.step(ALGORITHM, state, batch, key=key)[1]["critic_loss"])
    whole = changed(rewards=bits.astype(kind), masks=bits.astype(kind))
    floats = changed(rewards=bits.astype("float32"), masks=bits.astype("float32"))
    assert float(run(whole)) == float(run(floats))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("drol.step(drol.DROL, None, None, key=None)", "algorithm must be an algorithm such as"),
        ("drol.step(drol.BC(), None, {}, key=None)", "batch must be a drol.Batch, found dict"),
        (
            "drol.BC().init((4, 3), key=None)",
            r"spec must be a drol.Spec\(observation_dim, action_dim\), found \(4, 3\)",
        ),
        ("drol.DROL().init(None, key=None)", "spec must be a drol.Spec"),
        ("drol.ReBRAC().init(4, key=None)", "spec must be a drol.Spec"),
        ("drol.SORL().init('pen', key=None)", "spec must be a drol.Spec"),
        ("drol.BC().init(drol.Spec(4, 3), key=0)", "key must be one JAX random key"),
    ],
    ids=lambda value: value[:20],
)
def test_arguments_of_other_kinds_are_refused_where_no_type_checker_runs(call, message):
    result = plain_process()[call]
    assert re.search(message, result), result


@functools.cache
def plain_process():
    """What each call says in a process of its own."""
    calls = [mark.args[1] for mark in test_arguments_of_other_kinds_are_refused_where_no_type_checker_runs.pytestmark]
    code = f"""
import json, drol
said = {{}}
for call, _ in {calls[0]!r}:
    try:
        eval(call)
    except (TypeError, ValueError) as error:
        said[call] = str(error)
print(json.dumps(said))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_policy_takes_one_observation_of_its_width(key):
    policy = ALGORITHM.policy(ALGORITHM.init(SPEC, key=key))
    with pytest.raises(ValueError, match=r"expected one observation of shape \(4,\), found \(5,\); for a batch use"):
        policy(jnp.zeros(5), key=key)
