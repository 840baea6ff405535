"""Every method learns and plans chunks of actions under the one contract."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import drol
import drol.ops.chunks
import drol.ops.losses
from drol import Batch, Spec
from drol.algorithm import checked_batch, flattened
from drol.algorithms.registry import ALGORITHMS
from drol.ops.axis import global_rows
from drol.policy import planning
from drol.types import ChunkBatch
from tests.helpers.batches import random_batch
from tests.helpers.samples import sampled
from tests.helpers.small_algorithms import init, small

ROWS, OBSERVATION, DIM = 8, 4, 3
NAMES = sorted(ALGORITHMS)
jit_step = jax.jit(drol.step)

# Two lengths and two ensembles by default on four that differ much; everything else is slow.
FOUR = ("drol", "fql", "iql", "rebrac")
CASES = [(name, h, e) for name in NAMES for h, e in ((1, 2), (3, 4), (5, 2), (3, 2), (5, 4), (1, 4))]
BY_DEFAULT = [(name, 3, 4) for name in FOUR] + [("drol", 5, 2), ("bc", 3, 4), ("flow-bc", 5, 2)]


def chunks(key, chunk, steps=None, rows=ROWS) -> ChunkBatch:
    """Chunks of which some come to a true end, and some leave their episode."""
    steps = steps or chunk
    keys = jax.random.split(key, 7)
    whole = jax.random.randint(keys[5], (rows, 1), 1, steps + 2)
    return ChunkBatch(
        observations=jax.random.normal(keys[0], (rows, OBSERVATION)),
        actions=jax.random.uniform(keys[1], (rows, chunk, DIM), minval=-1.0),
        rewards=jax.random.normal(keys[2], (rows, steps)),
        masks=jax.random.bernoulli(keys[3], 0.8, (rows, steps)).astype("float32"),
        valid=(jnp.arange(steps) < whole).astype("float32"),
        next_observations=jax.random.normal(keys[4], (rows, OBSERVATION)),
        next_actions=jax.random.uniform(keys[6], (rows, chunk, DIM), minval=-1.0),
    )


def with_ensemble(name, members):
    fields = {field.name for field in dataclasses.fields(small(name))}
    return small(name, **({"ensemble": members} if "ensemble" in fields else {}))


def assert_same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize(("name", "chunk", "ensemble"), sampled(CASES, BY_DEFAULT))
def test_every_method_learns_and_plans_chunks(name, chunk, ensemble, key):
    """Its networks and draws have h d numbers, its numbers are finite, and its policy plans h actions."""
    algorithm, batch = with_ensemble(name, ensemble), chunks(jax.random.key(1), chunk)
    assert batch.spec == Spec(OBSERVATION, DIM, chunk)
    state = init(algorithm, batch.spec, key)
    after, metrics = jit_step(algorithm, state, batch, key=key)
    assert metrics.keys() == type(algorithm).metrics.keys()
    values = {n: float(v) for n, v in metrics.items() if n != "routing_margin"}
    assert np.isfinite(list(values.values())).all(), values
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(after, eqx.is_inexact_array)))
    policy = planning(algorithm.policy(after), chunk)
    assert policy.spec == batch.spec
    plan = policy.plan(batch.observations[0], key=key)
    assert plan.shape == (chunk, DIM)
    np.testing.assert_array_equal(policy(batch.observations[0], key=key), plan[0])
    assert algorithm.operations(batch.spec) == algorithm.operations(batch.spec.flat)


@pytest.mark.parametrize("name", sampled(NAMES, [*FOUR, "fawac", "sorl", "meanflow-ql"]))
def test_what_does_not_count_changes_nothing(name, key):
    """Rewards, actions, masks and next states after a true end, or outside the episode: no loss, no gradient."""
    algorithm, batch = small(name), chunks(jax.random.key(1), 3, 4)
    before = np.cumprod(np.concatenate([np.ones((ROWS, 1)), batch.masks[:, :-1]], axis=1), axis=1)
    counts = np.cumprod(batch.valid, axis=1) * before
    ended = np.min(np.where(counts > 0, batch.masks, 1), axis=1) == 0
    lost = (counts[:, -1] == 0) & ~ended
    assert ended.any()
    assert lost.any()
    assert (counts[:, -1] > 0).any()
    noise = jax.random.normal(jax.random.key(9), (ROWS, 4))
    others = dataclasses.replace(
        batch,
        rewards=jnp.where(counts > 0, batch.rewards, 100 * noise),
        actions=jnp.where(counts[:, :3, None] > 0, batch.actions, 0.3),
        masks=jnp.where(counts > 0, batch.masks, 1 - batch.masks),
        next_observations=jnp.where((ended | lost)[:, None], 7.0, batch.next_observations),
        next_actions=jnp.where((ended | lost)[:, None, None], 0.2, batch.next_actions),
    )
    # Rows without a return must not count even if it is known to the last but one.
    others = dataclasses.replace(others, rewards=jnp.where(lost[:, None], 50.0, others.rewards))
    state = init(algorithm, batch.spec, key)
    state = eqx.tree_at(lambda s: s.step, state, jnp.ones((), jnp.int32))
    reported = {"q_mean", "target_mean"}  # plain means over all rows
    one, two = (jit_step(algorithm, state, given, key=key) for given in (batch, others))
    assert_same(one[0], two[0])
    assert_same(*({n: v for n, v in metrics.items() if n not in reported} for _, metrics in (one, two)))


@pytest.mark.parametrize("name", sampled(NAMES, ["drol", "rebrac"]))
def test_a_chunk_of_one_step_is_a_transition(name, key):
    """Also the n-step return for n = 1, and gamma^0 under tracing."""
    algorithm, batch = small(name), random_batch(jax.random.key(1), ROWS, Spec(OBSERVATION, DIM))
    one = ChunkBatch(
        observations=batch.observations,
        actions=batch.actions[:, None],
        rewards=batch.rewards[:, None],
        masks=batch.masks[:, None],
        valid=jnp.ones((ROWS, 1)),
        next_observations=batch.next_observations,
        next_actions=batch.next_actions[:, None],
    )
    flat = jax.jit(lambda algorithm, batch: flattened(algorithm, batch))(algorithm, one)
    for field in ("observations", "actions", "rewards", "masks", "next_observations", "next_actions"):
        np.testing.assert_array_equal(getattr(flat, field), getattr(batch, field))
    assert flat.weights is not None
    assert flat.weights.tolist() == [1] * ROWS
    assert flat.valid is None
    state = init(algorithm, batch.spec, key)
    ours, theirs = (jit_step(algorithm, state, given, key=key)[1] for given in (one, batch))
    for metric, value in theirs.items():
        np.testing.assert_allclose(ours[metric], value, rtol=1e-6, err_msg=metric)


@pytest.mark.parametrize("name", sampled(NAMES, ["drol", "iql"]))
def test_a_sharded_batch_of_chunks_has_the_gradients_of_the_whole(name, key):
    algorithm, batch = small(name), chunks(jax.random.key(1), 3)
    state = init(algorithm, batch.spec, key)
    state = eqx.tree_at(lambda s: s.step, state, jnp.ones((), jnp.int32))

    def gradients(state, batch, axis_name=None):
        flat = flattened(algorithm, batch)
        noise = algorithm.noise(flat.spec.flat, global_rows(flat.rewards.shape[0], axis_name), key=key)
        return algorithm.gradients(state, flat, noise, axis_name=axis_name)[0]

    mesh = jax.make_mesh((4,), ("shards",), devices=jax.devices()[:4], axis_types=(jax.sharding.AxisType.Auto,))
    shard = functools.partial(gradients, axis_name="shards")
    together = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(P(), P("shards")), out_specs=P()))(state, batch)
    for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(jax.jit(gradients)(state, batch)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(float(jnp.max(jnp.abs(theirs))), 1e-6))


def test_rows_that_count_for_nothing_give_a_finite_zero(key):
    """Mean losses divide by all rows of a batch, those of weight 0 included."""
    batch = chunks(jax.random.key(1), 3)
    lost = dataclasses.replace(batch, valid=batch.valid.at[:, 1:].set(0), masks=jnp.ones_like(batch.masks))
    algorithm = small("drol")
    state = init(algorithm, batch.spec, key)
    assert float(jit_step(algorithm, state, lost, key=key)[1]["critic_loss"]) == 0
    half = jax.tree.map(lambda one, two: jnp.concatenate([one, two]), batch, lost)
    flat = flattened(algorithm, batch)
    assert flat.weights is not None
    errors = drol.ops.losses.row_mean(jnp.ones(ROWS), flat.weights)
    both = flattened(algorithm, half)
    assert both.weights is not None
    np.testing.assert_allclose(drol.ops.losses.row_mean(jnp.ones(2 * ROWS), both.weights), errors / 2)


def test_a_method_without_a_discount_says_what_it_lacks(key):
    class NoDiscount(drol.Algorithm):
        name = "no-discount"

        def init(self, spec, *, key): ...
        def noise(self, spec, rows, *, key): ...
        def update(self, state, batch, noise, *, axis_name=None): ...
        def policy(self, state): ...

    with pytest.raises(ValueError, match="summed with the hyperparameter `discount`, which NoDiscount does not have"):
        flattened(NoDiscount(), chunks(key, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": jnp.zeros((ROWS, DIM))}, r"batch.actions must have shape \(rows, chunk, action\), found \(8, 3\)"),
        ({"rewards": jnp.zeros((ROWS, 2))}, "batch.rewards must have at least the 3 steps of batch.actions, found 2"),
        ({"masks": jnp.zeros((ROWS, 4))}, r"batch.masks must have shape \(8, 3\).*found \(8, 4\)"),
        ({"valid": jnp.zeros(ROWS)}, r"batch.valid must have shape \(8, 3\).*found \(8,\)"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_chunks_of_other_shapes_are_refused(changes, message):
    batch = chunks(jax.random.key(1), 3)
    wrong = eqx.tree_at(lambda b: [getattr(b, name) for name in changes], batch, list(changes.values()))
    with pytest.raises(ValueError, match=message):
        checked_batch(wrong)


def test_networks_for_single_actions_do_not_take_chunks(key):
    algorithm, batch = small("drol"), chunks(jax.random.key(1), 3)
    state = init(algorithm, Spec(OBSERVATION, DIM), key)
    with pytest.raises(
        ValueError, match="built for plans of 3 numbers, but the batch has 3 actions of 3; make a state"
    ):
        drol.step(algorithm, state, batch, key=key)


def test_flags_may_be_booleans(key):
    batch = chunks(jax.random.key(1), 3)
    flags = eqx.tree_at(lambda b: b.valid, batch, batch.valid > 0)
    algorithm = small("bc")
    state = init(algorithm, batch.spec, key)
    assert_same(jit_step(algorithm, state, flags, key=key)[0], jit_step(algorithm, state, batch, key=key)[0])


class Reward:
    """Chunks whose return is known: of two steps, with one number each."""

    def batch(self, key, chunk, rows=256) -> ChunkBatch:
        """Both actions are -1 or 1; the reward of the second step is 1 if they are equal, and 0.4 after (-1, 1)."""
        first, second = jnp.where(jax.random.bernoulli(key, 0.5, (2, rows)), 1.0, -1.0)
        reward = jnp.where(first == second, 1.0, jnp.where(first < 0, 0.4, 0.0))
        actions = jnp.stack([first, second], axis=1)[:, :chunk, None]
        return ChunkBatch(
            observations=jnp.zeros((rows, 1)),
            actions=actions,
            rewards=jnp.stack([jnp.zeros(rows), reward], axis=1),
            masks=jnp.stack([jnp.ones(rows), jnp.zeros(rows)], axis=1),
            valid=jnp.ones((rows, 2)),
            next_observations=jnp.zeros((rows, 1)),
            next_actions=actions,
        )

    def trained(self, chunk):
        algorithm = drol.DROL(hidden=(32, 32), num_candidates=2, learning_rate=3e-3, discount=0.5)

        def body(state, number):
            key = jax.random.fold_in(jax.random.key(3), number)
            return drol.step(algorithm, state, self.batch(key, chunk), key=key)[0], None

        spec = Spec(1, 1, chunk)
        state = algorithm.init(spec, key=jax.random.key(0))
        return jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(400))[0])(state)


@pytest.fixture(scope="module")
def reward():
    return Reward()


def test_the_critic_of_chunks_learns_the_value_of_each_plan(reward):
    """gamma times the reward of the second step, for each of the four open-loop plans."""
    plans = jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    values = reward.trained(2).critic(jnp.zeros((4, 1)), plans)
    np.testing.assert_allclose(values, np.broadcast_to([0.5, 0.2, 0.0, 0.5], (2, 4)), atol=0.05)


def test_n_step_returns_of_single_actions_follow_the_data(reward):
    """Uncorrected: each first action is valued with the data's second one, not the best. A critic that saw the second
    action would know better."""
    values = reward.trained(1).critic(jnp.zeros((2, 1)), jnp.array([[-1.0], [1.0]]))
    np.testing.assert_allclose(values, np.broadcast_to([0.35, 0.25], (2, 2)), atol=0.05)


def test_a_plan_is_executed_in_the_order_of_its_numbers(key):
    """The first d numbers first."""
    algorithm = small("bc")
    state = init(algorithm, Spec(OBSERVATION, DIM, 2), key)
    policy = algorithm.policy(state)
    numbers = jnp.linspace(-0.9, 0.9, 6)
    last = policy.actor.mlp.layers[-1]
    policy = eqx.tree_at(
        lambda p: (p.actor.mlp.layers[-1].weight, p.actor.mlp.layers[-1].bias),
        policy,
        (jnp.zeros_like(last.weight), numbers),
    )
    plan = planning(policy, 2).plan(jnp.zeros(OBSERVATION), key=key)
    np.testing.assert_allclose(plan, [numbers[:3], numbers[3:]], rtol=1e-6)


@pytest.mark.parametrize("block", [0, 1])
def test_a_reward_of_one_step_moves_the_block_of_its_action(block):
    """The gradient of the learned Q lies in the numbers of the step that earns."""

    def batch(key, rows=256):
        actions = jax.random.uniform(key, (rows, 2, 2), minval=-1.0)
        return ChunkBatch(
            observations=jnp.zeros((rows, 1)),
            actions=actions,
            rewards=jnp.zeros((rows, 2)).at[:, 1].set(actions[:, block, 0]),
            masks=jnp.zeros((rows, 2)).at[:, 0].set(1),
            valid=jnp.ones((rows, 2)),
            next_observations=jnp.zeros((rows, 1)),
            next_actions=actions,
        )

    algorithm = drol.DROL(hidden=(32, 32), num_candidates=2, learning_rate=3e-3)

    def body(state, number):
        key = jax.random.fold_in(jax.random.key(3), number)
        return drol.step(algorithm, state, batch(key), key=key)[0], None

    state = algorithm.init(Spec(1, 2, 2), key=jax.random.key(0))
    state = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(300))[0])(state)
    # Differences, because layer norm makes the derivative at 0 depend on rounding.
    ends = 0.5 * jnp.concatenate([jnp.eye(4), -jnp.eye(4)])
    values = state.critic(jnp.zeros((8, 1)), ends).mean(axis=0)
    slopes = values[:4] - values[4:]
    expected = 0.99 * jnp.eye(4)[2 * block]
    np.testing.assert_allclose(slopes, expected, atol=0.15)


def test_step_takes_the_return_of_its_algorithms_discount(key):
    """A sweep of the discount is still one program."""
    batch = chunks(jax.random.key(1), 3)
    for discount in (0.5, 0.9):
        flat = flattened(drol.DROL(discount=discount), batch)
        assert isinstance(flat, Batch)
        expected = drol.ops.chunks.flat_batch(batch, discount)
        np.testing.assert_allclose(flat.rewards, expected.rewards, rtol=1e-6)


@pytest.fixture(scope="module")
def parts():
    """A state of DROL, and flattened chunks of which the second half is cut after one step."""
    algorithm = small("drol", num_candidates=8)
    batch = chunks(jax.random.key(1), 3)
    cut = (jnp.arange(3) == 0) | (jnp.arange(ROWS) < ROWS // 2)[:, None]
    batch = dataclasses.replace(batch, valid=cut.astype("float32"), masks=jnp.ones_like(batch.masks))
    state = init(algorithm, batch.spec, jax.random.key(0))
    return state, flattened(algorithm, batch)


class TestRouting:
    """DROL on chunks: over which numbers actions are routed."""

    def routed(self, parts, **options):
        """Winners' latents, and the numbers of each row that decide."""
        state, flat = parts
        algorithm = small("drol", num_candidates=8, **options)
        noise = algorithm.noise(flat.spec.flat, jnp.arange(ROWS), key=jax.random.key(4))
        winners, _ = algorithm._route(state.actor, flat, noise, None)
        return state.actor.candidates(flat.observations, noise.candidates), noise.candidates, winners, flat

    @pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
    def test_the_nearest_candidate_over_the_counted_numbers_wins(self, parts, steps):
        candidates, latents, winners, flat = self.routed(parts, routed_steps=steps)
        counted = np.array(flat.valid)
        if steps:
            counted[:, steps * DIM :] = 0
        distances = (counted[:, None] * (np.asarray(candidates) - np.asarray(flat.actions)[:, None]) ** 2).sum(axis=-1)
        expected = np.take_along_axis(np.asarray(latents), distances.argmin(axis=1)[:, None, None], axis=1)[:, 0]
        np.testing.assert_array_equal(winners, expected)

    def test_all_steps_and_the_first_one_choose_differently(self, parts):
        assert not np.array_equal(self.routed(parts)[2], self.routed(parts, routed_steps=1)[2])

    def test_probes_are_routed_like_batches(self, parts):
        state, flat = parts
        actions, key = jnp.asarray(flat.actions), jax.random.key(7)
        whole = small("drol", num_candidates=8).winners(state, flat.observations, actions, key=key, chunk=3)
        first = small("drol", num_candidates=8, routed_steps=1)
        by_first = first.winners(state, flat.observations, actions, key=key, chunk=3)
        others = actions.at[:, DIM:].set(-actions[:, DIM:])
        np.testing.assert_array_equal(by_first, first.winners(state, flat.observations, others, key=key, chunk=3))
        assert not np.array_equal(whole, by_first)

    def test_latents_fill_the_ball_of_all_numbers(self):
        noise = drol.DROL(num_candidates=64).noise(Spec(4, 5, 5).flat, jnp.arange(64), key=jax.random.key(0))
        norms = np.linalg.norm(noise.candidates, axis=-1)
        assert noise.candidates.shape == (64, 64, 25)
        assert norms.max() <= 5
        np.testing.assert_allclose(norms.mean(), 5 * 25 / 26, rtol=1e-2)

    def test_losers_have_exactly_no_gradient(self, parts):
        state, flat = parts
        algorithm = small("drol", num_candidates=8)
        noise = algorithm.noise(flat.spec.flat, jnp.arange(ROWS), key=jax.random.key(4))
        winners = algorithm._route(state.actor, flat, noise, None)[0]
        lost = (noise.candidates != winners[:, None]).any(axis=-1, keepdims=True)
        # Losers may be anything that does not win: here they are moved to where the first loser is.
        moved = dataclasses.replace(noise, candidates=jnp.where(lost, -10 * noise.candidates, noise.candidates))
        kept = algorithm._route(state.actor, flat, moved, None)[0]
        same = (kept == winners).all(axis=-1)
        assert same.any()
        batch = jax.tree.map(lambda leaf: leaf[same], flat)
        one, two = (jax.tree.map(lambda leaf: leaf[same], draws) for draws in (noise, moved))
        assert_same(algorithm.gradients(state, batch, one)[0], algorithm.gradients(state, batch, two)[0])
