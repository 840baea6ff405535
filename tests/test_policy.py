"""Policies, and their way to disk and back."""

import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import DROL, LatentPolicy, Units, in_units, load_policy, save_policy
from drol.bundle import AHEAD, _checksum
from drol.files import DataError
from drol.ops.latent import sample_ball
from drol.policy import POLICY_KINDS
from tests.conftest import SPEC, init


@pytest.fixture(scope="module")
def policy():
    algorithm = DROL(hidden=(16, 16))
    return algorithm.policy(init(algorithm, SPEC, jax.random.key(0)))


@pytest.fixture
def saved(policy, tmp_path):
    save_policy(policy, tmp_path / "policy", {"task": "some-task"})
    return tmp_path / "policy"


OBSERVATION = jnp.array([0.3, -0.7, 1.2, 0.1])
# Actions lie in [-1, 1]; compiled and step by step, their last digits differ, from machine to machine otherwise.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def act(policy, key):
    return jax.jit(lambda p, o, k: p(o, key=k))(policy, OBSERVATION, key)


def test_one_latent_is_one_pass_of_the_actor(policy, key):
    latent = sample_ball(key, (), 3, 3**0.5)
    np.testing.assert_allclose(act(policy, key), policy.actor(OBSERVATION, latent), **TOLERANCE)


def test_centre_is_deterministic(policy):
    centre = policy.with_kind("centre")
    np.testing.assert_array_equal(act(centre, jax.random.key(1)), act(centre, jax.random.key(2)))
    np.testing.assert_allclose(act(centre, jax.random.key(1)), policy.actor(OBSERVATION, jnp.zeros(3)), **TOLERANCE)


def samples_and_values(policy, key):
    samples = np.asarray(policy.actor.candidates(OBSERVATION, sample_ball(key, (32,), 3, 3**0.5)))
    q = np.asarray(policy.critic(jnp.tile(OBSERVATION, (32, 1)), jnp.asarray(samples)))
    return samples, q.mean(axis=0)


def test_best_of_n_takes_the_highest_mean_q(policy, key):
    samples, q = samples_and_values(policy, key)
    np.testing.assert_allclose(act(policy.with_kind("best-of-n"), key), samples[q.argmax()], **TOLERANCE)


def test_dense_drops_outliers_first(policy, key):
    samples, q = samples_and_values(policy, key)
    isolation = np.array([((samples - s) ** 2).sum(-1).sum() / 31 for s in samples])
    kept = np.argsort(isolation)[:8]
    best = kept[q[kept].argmax()]
    np.testing.assert_allclose(act(policy.with_kind("dense"), key), samples[best], **TOLERANCE)


def test_choices_that_cannot_be_are_refused(policy):
    with pytest.raises(ValueError, match="holds no critic"):
        LatentPolicy(policy.actor, None, kind="best-of-n")
    with pytest.raises(ValueError, match="dense_topk must lie between"):
        LatentPolicy(policy.actor, policy.critic, num_samples=4, dense_topk=5)


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_round_trip(policy, saved, key, kind):
    loaded = load_policy(saved, kind=kind)
    assert loaded.facts == {"task": "some-task"}
    expected = act(policy.with_kind(kind), key)
    np.testing.assert_array_equal(act(loaded.policy, key), expected)


UNITS = Units(
    observation_mean=np.array([1.0, 0.0, -5.0, 10.0], np.float32),
    observation_std=np.array([0.5, 1.0, 2.0, 10.0], np.float32),
    action_low=np.array([-1.0, 0.0, 5.0], np.float32),
    action_high=np.array([3.0, 0.1, 7.0], np.float32),
)


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_a_policy_in_units_sees_and_speaks_them(policy, tmp_path, key, kind):
    save_policy(in_units(policy, UNITS), tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy", kind=kind)
    inward = (OBSERVATION - UNITS.observation_mean) / UNITS.observation_std
    action = np.asarray(jax.jit(lambda p, o, k: p(o, key=k))(policy.with_kind(kind), inward, key))
    centre, reach = np.array([1.0, 0.05, 6.0]), np.array([2.0, 0.05, 1.0])
    np.testing.assert_allclose(act(loaded.policy, key), centre + reach * action, rtol=1e-4, atol=1e-5)
    assert loaded(np.zeros((7, 4))).shape == (7, 3)


def test_actions_in_units_never_leave_their_bounds(policy, key):
    far = in_units(jax.tree.map(lambda weight: 100 * weight, policy), UNITS)
    actions = jax.vmap(lambda k: far(OBSERVATION, key=k))(jax.random.split(key, 200))
    assert (actions >= UNITS.action_low).all()
    assert (actions <= UNITS.action_high).all()
    assert (actions == UNITS.action_high).any()


def test_units_go_in_and_out():
    actions = np.random.default_rng(0).uniform(UNITS.action_low, UNITS.action_high, (50, 3))
    np.testing.assert_allclose(UNITS.action_outward(UNITS.action_inward(actions)), actions, rtol=1e-5, atol=1e-6)
    identity = Units.identity(SPEC)
    np.testing.assert_array_equal(identity.action_inward(np.float32([0.25, -1, 1])), [0.25, -1, 1])
    np.testing.assert_array_equal(identity.observation_inward(OBSERVATION), OBSERVATION)


def test_an_actor_without_critic_can_be_stored(policy, tmp_path, key):
    bare = eqx.tree_at(lambda p: p.critic, policy, None, is_leaf=lambda x: x is None)
    save_policy(bare, tmp_path / "bare")
    np.testing.assert_array_equal(act(load_policy(tmp_path / "bare").policy, key), act(policy, key))
    with pytest.raises(ValueError, match="holds no critic"):
        load_policy(tmp_path / "bare", kind="dense")


def test_a_loaded_policy_acts_on_one_and_on_many(saved):
    loaded = load_policy(saved, kind="centre")
    observations = np.random.default_rng(0).normal(size=(5, 4))
    batch = loaded(observations)
    assert batch.shape == (5, 3)
    assert batch.dtype == np.float32
    for observation, action in zip(observations, batch, strict=True):
        np.testing.assert_allclose(loaded(observation), action, **TOLERANCE)
    with pytest.raises(ValueError, match=r"expected observations of shape \(4,\) or \(n, 4\), found \(5,\)"):
        loaded(np.zeros(5))


def test_draws_of_a_loaded_policy_repeat_with_its_seed(saved):
    def actions(seed):
        loaded = load_policy(saved, seed=seed)
        return np.stack([loaded(np.zeros(4)) for _ in range(3)])

    np.testing.assert_array_equal(actions(0), actions(0))
    assert len(np.unique(actions(0), axis=0)) == 3
    assert (actions(0) != actions(1)).any()
    loaded = load_policy(saved)
    np.testing.assert_array_equal(
        loaded(np.zeros(4), key=jax.random.key(3)), loaded(np.zeros(4), key=jax.random.key(3))
    )


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_call_i_and_row_r_draw_from_the_documented_keys(saved, kind):
    loaded, observations = load_policy(saved, kind=kind, seed=7), np.random.default_rng(0).normal(size=(3, 4))
    for call in range(2):
        key = jax.random.fold_in(jax.random.key(7), call)
        expected = [
            loaded.policy(jnp.asarray(observation, jnp.float32), key=jax.random.fold_in(key, row))
            for row, observation in enumerate(observations)
        ]
        np.testing.assert_allclose(loaded(observations, key=key), expected, **TOLERANCE)
        np.testing.assert_allclose(loaded(observations), expected, **TOLERANCE)


def test_single_calls_draw_what_a_batch_of_one_key_draws(saved):
    """Whether draws are made ahead, and what other calls lie between, changes nothing."""
    loaded, reference = load_policy(saved, seed=7), load_policy(saved)
    for call in range(2 * AHEAD + 3):
        if call % 50 == 49:
            loaded(np.zeros((3, 4)))
        else:
            key = jax.random.fold_in(jax.random.key(7), call)
            np.testing.assert_array_equal(loaded(np.zeros(4)), reference(np.zeros(4), key=key))


def test_a_loaded_policy_compiles_once_per_power_of_two(saved):
    loaded = load_policy(saved)
    for count in (1, 3, 4, 5, 8, 7, 3, 1):
        assert loaded(np.zeros((count, 4))).shape == (count, 3)
    loaded(np.zeros(4))
    assert loaded._act._cache_size() == 3
    assert loaded._noise_of_call._cache_size() == 2
    assert loaded._noise_of_calls._cache_size() == 1
    assert loaded(np.zeros((0, 4))).shape == (0, 3)


def test_actions_and_observations_stay_the_callers(saved):
    loaded = load_policy(saved, kind="centre")
    observation = np.ones((4, 4), np.float32)
    first = loaded(observation)
    kept = first.copy()
    observation[:] = 9
    first *= 2
    np.testing.assert_array_equal(loaded(np.ones((4, 4))), kept)


def test_saving_again_replaces_and_leaves_nothing_behind(policy, saved):
    save_policy(policy.with_kind("centre"), saved)
    assert load_policy(saved).policy.kind == "centre"
    assert [path.name for path in saved.parent.iterdir()] == ["policy"]
    assert len(list(saved.iterdir())) == 2


def test_nothing_but_a_policy_is_ever_replaced(policy, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds other things than a policy"):
        save_policy(policy, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_crash_while_saving_leaves_the_old_policy(policy, saved, monkeypatch, key):
    """The arrays are written, the description is not: the old pair is still whole."""
    import drol.bundle as bundle

    def crash(*_):
        raise OSError("power cut")

    changed = jax.tree.map(lambda x: x + 1, policy)
    monkeypatch.setattr(bundle, "write_json", crash)
    with pytest.raises(OSError, match="power cut"):
        save_policy(changed, saved)
    np.testing.assert_array_equal(act(load_policy(saved).policy, key), act(policy, key))
    monkeypatch.undo()
    save_policy(changed, saved)
    np.testing.assert_array_equal(act(load_policy(saved).policy, key), act(changed, key))


def edit(saved, **changes):
    path = saved / "policy.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(saved, **changes):
    """An edit that hides itself behind a fresh checksum."""
    path = saved / "policy.json"
    description = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(description | {"checksum": _checksum(description)}))


def flip_a_bit(saved):
    (arrays,) = saved.glob("arrays-*")
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_bit, "do not fit the checksum in its name"),
        (lambda s: next(s.glob("arrays-*")).unlink(), "lacks arrays-"),
        (lambda s: edit(s, facts={"task": "another"}), "is damaged or was edited"),
        (lambda s: (s / "policy.json").write_text("{"), "not readable as JSON"),
        (lambda s: (s / "policy.json").write_text("[]"), "not a policy written by drol"),
        (lambda s: rewrite(s, format="other"), "not a policy written by drol"),
        (lambda s: rewrite(s, version=99), "version 99"),
        (lambda s: rewrite(s, kind="unheard-of"), "kind 'unheard-of'"),
        (lambda s: rewrite(s, config={"observation_dim": 4}), "does not fit its arrays"),
        (lambda s: shutil.rmtree(s), "is no policy folder"),
    ],
)
def test_damaged_and_foreign_files_are_refused(saved, damage, words):
    damage(saved)
    with pytest.raises(DataError, match=words):
        load_policy(saved)


def test_a_smaller_network_than_described_is_refused(policy, saved):
    config = policy.config() | {"actor_hidden": [8, 8]}
    rewrite(saved, config=config)
    with pytest.raises(DataError, match="does not fit its arrays"):
        load_policy(saved)
