"""One run over several devices: the same training, and nothing communicated but what must be."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest

from drol.benchmarks.scaling import exchanged
from drol.training.pack import Pack
from tests.helpers.samples import sampled
from tests.helpers.toy_run import SETTINGS, algorithm, data, members, new_folder, records, run, train

UPDATES, ROWS = 20, 16


def over(count):
    """The data on `count` devices; 200 transitions do not divide by 3 or 16, so shares get padding."""
    return data() if count == 1 else data().sharded(jax.devices()[:count])


def trained(count, length=UPDATES, **options):
    ((_, state, key),) = members(1)
    pack = Pack([(algorithm(**options), state, key)], over(count))
    (line,), finite = pack.train(batch_size=ROWS, length=length)
    assert finite == [True]
    return pack, line


@pytest.fixture(scope="module")
def one():
    return trained(1)


@pytest.mark.parametrize("count", sampled([2, 4, 8], [4]))
def test_parameters_after_20_updates_are_those_of_one_device(one, count):
    """Tolerance: 1e-6, a few last digits of parameters of order one."""
    pack, line = trained(count)
    assert pack._state.step.sharding.num_devices == count
    assert pack._state.step.sharding.is_fully_replicated
    assert line == pytest.approx(one[1], rel=1e-5, abs=1e-6)
    for mine, other in zip(jax.tree.leaves(pack.state(0)), jax.tree.leaves(one[0].state(0)), strict=True):
        assert mine.devices() == {jax.devices()[0]}
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", sampled([2, 4, 8], [2]))
def test_gradients_are_those_of_one_device(count):
    """Adam would hide a factor: here the update is the gradient, halved."""
    ((_, _, key),) = members(1)
    sgd = algorithm(optimizer=optax.sgd(0.5))
    state = jax.jit(lambda key: sgd.init(data().spec, key=key))(key)
    expected = None
    for table in (data(), over(count)):
        before = jax.tree.map(np.array, state)
        pack = Pack([(sgd, jax.tree.map(lambda x: x.copy(), state), key)], table)
        pack.train(batch_size=ROWS, length=1)
        gradient = jax.tree.map(lambda new, old: np.asarray(new, np.float64) - old, pack.state(0), before)
        if expected is None:
            expected = gradient
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected.actor)) > 1e-3
    for mine, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_devices_exchange_gradients_and_the_rows_of_a_batch_alone():
    """All-reduces of a gradient's size; whatever is gathered is no larger than the batch's row numbers."""
    pack, _ = trained(4)
    found = exchanged(pack.compiled(batch_size=ROWS, length=UPDATES).as_text())
    state = pack.state(0)
    parameters = sum(leaf.size for leaf in jax.tree.leaves((state.actor, state.critic)))
    batch = ROWS * (2 * data().spec.observation_dim + 2 * data().spec.action_dim + 2)
    assert found.keys() <= {"all-reduce", "all-gather"}
    assert parameters <= found["all-reduce"] <= parameters + 4 * batch
    assert found.get("all-gather", 0) <= 8 * ROWS


def test_each_device_does_its_share_of_the_work():
    """Operations of an update as the compiler counts them, Adam's included, which every device does."""
    flops = []
    for count in (1, 4):
        pack, _ = trained(count, length=2)
        flops.append(pack.compiled(batch_size=ROWS, length=2).cost_analysis()["flops"])
    assert flops[1] < 0.4 * flops[0]


def test_a_sharded_run_resumes_on_one_device(undisturbed, tmp_path):
    """Checkpoints do not know how many devices there were."""
    folder = new_folder(tmp_path / "run")
    for updates, table in ((20, over(4)), (40, data())):
        state = run(folder, dataclasses.replace(SETTINGS, updates=updates), table=table)
    for mine, other in zip(jax.tree.leaves(state), jax.tree.leaves(undisturbed[1]), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    assert [line.keys() for line in records(folder)[0]] == [line.keys() for line in records(undisturbed[0])[0]]


def test_a_bad_transition_is_named_from_its_shard(tmp_path):
    broken = data()
    broken = dataclasses.replace(broken, rewards=broken.rewards.at[150].set(np.nan))
    folder = new_folder(tmp_path / "run")
    with pytest.raises(RuntimeError, match="in transitions 150 of the data"):
        train(algorithm(), broken.sharded(jax.devices()[:4]), folder, SETTINGS)
    assert json.loads(folder.divergence.read_text())["transitions"] == [150]


def test_what_cannot_be_sharded_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a batch of 16 cannot be divided among 3 devices \(1 left over\)"):
        train(algorithm(), over(3), new_folder(tmp_path / "run"), SETTINGS)
    with pytest.raises(ValueError, match="one run at a time, found 2 runs"):
        Pack(members(2), over(2))


@pytest.mark.parametrize("count", sampled([2, 3, 8], [3]))
def test_padding_is_never_drawn(count):
    table, key = over(count), jax.random.key(0)
    assert table.size == 200
    assert table.padding == -200 % count
    np.testing.assert_array_equal(table.draw(1000, key=key), data().draw(1000, key=key))
    batch, expected = table.take(table.draw(count * 8, key=key)), data().sample(count * 8, key=key)
    for mine, other in zip(jax.tree.leaves(batch), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(mine, other)
