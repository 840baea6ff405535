"""Policies, and their way to disk and back."""

import dataclasses
import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.stats

from drol import DROL, Choice, LatentPolicy, Units, in_units, load_policy, save_policy
from drol.errors import DataError
from drol.nn import CriticEnsemble, LatentActor, MeanActor, VectorField
from drol.ops.latent import sample_ball
from drol.policy import POLICY_KINDS, FlowPolicy, MeanPolicy, ShortcutPolicy, SteeredPolicy
from drol.policy.description import describe
from drol.policy.files import _checksum
from drol.policy.loaded import AHEAD
from tests.helpers.batches import SPEC
from tests.helpers.plain_algorithms import reflected_in_numpy
from tests.helpers.plain_networks import plain_critic, plain_mlp
from tests.helpers.samples import sampled
from tests.helpers.small_algorithms import init


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
    with pytest.raises(ValueError, match="has no critic"):
        LatentPolicy(policy.actor, None, Choice("best-of-n"))
    with pytest.raises(ValueError, match="dense_topk must lie between"):
        Choice(num_samples=4, dense_topk=5)


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


@pytest.mark.parametrize("kind", sampled(POLICY_KINDS, ["one", "best-of-n"]))
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
    with pytest.raises(ValueError, match="has no critic"):
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


@pytest.mark.parametrize("kind", sampled(POLICY_KINDS, ["one", "dense"]))
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
    """Whether draws are made ahead changes nothing but rounding, which differs from one compiled program to another."""
    loaded, reference = load_policy(saved, seed=7), load_policy(saved)
    for call in range(2 * AHEAD + 3):
        key = jax.random.fold_in(jax.random.key(7), call)
        np.testing.assert_allclose(loaded(np.zeros(4)), reference(np.zeros(4), key=key), **TOLERANCE)


def test_other_calls_in_between_change_no_bit(saved):
    """The draws of call i come from the same program whatever was asked before."""
    alone, disturbed = load_policy(saved, seed=7), load_policy(saved, seed=7)
    for call in range(2 * AHEAD + 3):
        action = alone(np.zeros(4))
        if call % 50 in (30, 49):
            disturbed(np.zeros((3, 4)))
        else:
            np.testing.assert_array_equal(disturbed(np.zeros(4)), action)


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
    assert load_policy(saved).policy.choice.how == "centre"
    assert [path.name for path in saved.parent.iterdir()] == ["policy"]
    assert len(list(saved.iterdir())) == 2


def test_nothing_but_a_policy_is_ever_replaced(policy, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="contains something other than a policy"):
        save_policy(policy, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_crash_while_saving_leaves_the_old_policy(policy, saved, monkeypatch, key):
    """The arrays are written, the description is not: the old pair is still whole."""
    import drol.policy.files as files

    def crash(*_):
        raise OSError("power cut")

    changed = jax.tree.map(lambda x: x + 1, policy)
    monkeypatch.setattr(files, "write_json", crash)
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
        (flip_a_bit, "do not match the checksum in its name"),
        (lambda s: next(s.glob("arrays-*")).unlink(), "lacks arrays-"),
        (lambda s: edit(s, facts={"task": "another"}), "is damaged or was edited"),
        (lambda s: (s / "policy.json").write_text("{"), "not readable as JSON"),
        (lambda s: (s / "policy.json").write_text("[]"), "not a policy written by drol"),
        (lambda s: rewrite(s, format="other"), "not a policy written by drol"),
        (lambda s: rewrite(s, version=99), "version 99"),
        (lambda s: rewrite(s, kind="unheard-of"), "kind 'unheard-of'"),
        (lambda s: rewrite(s, config={"observation_dim": 4}), "does not match its arrays"),
        (lambda s: shutil.rmtree(s), "is not a policy folder"),
    ],
)
def test_damaged_and_foreign_files_are_refused(saved, damage, words):
    damage(saved)
    with pytest.raises(DataError, match=words):
        load_policy(saved)


def test_a_smaller_network_than_described_is_refused(policy, saved):
    config = describe(policy) | {"actor_hidden": [8, 8]}
    rewrite(saved, config=config)
    with pytest.raises(DataError, match="does not match its arrays"):
        load_policy(saved)


OPPOSED = jnp.array([1.0, -0.15])[:, None, None]


@pytest.fixture(scope="module")
def networks():
    """Of every sort one, with outputs that reach beyond the bounds."""

    @jax.jit
    def build(key):
        keys = iter(jax.random.split(key, 7))
        fields = [VectorField(SPEC, (8,), conditions=count, key=next(keys)) for count in range(3)]
        actors = [MeanActor(SPEC, (8, 6), key=next(keys)), LatentActor(SPEC, (8,), key=next(keys))]
        actors.append(VectorField(SPEC, (6,), key=jax.random.key(1)))
        return *fields, *actors, *(CriticEnsemble(SPEC, (8,), conditions=c, key=next(keys)) for c in range(2))

    *actors, critic, counting_critic = build(jax.random.key(0))
    names = ("refiner", "flow", "shortcut", "mean", "latent", "generator")
    louder = {"refiner": 1, "flow": 5, "shortcut": 1, "mean": 30, "latent": 5, "generator": 2}
    scaled = {
        name: eqx.tree_at(lambda a: a.mlp.layers[-1].weight, actor, replace_fn=lambda w, name=name: louder[name] * w)
        for name, actor in zip(names, actors, strict=True)
    }
    # Members that disagree, so that it matters how they are aggregated.
    opposed = eqx.tree_at(lambda c: c.members.layers[-1].weight, critic, replace_fn=lambda w: w * OPPOSED)
    return scaled | {"critic": opposed, "counting critic": counting_critic}


@pytest.fixture
def peers(networks):
    """A policy of every class and structure."""
    critic, few, mean = networks["critic"], Choice("one", 8, 4), Choice("centre", 8, 4)
    flow = {"flow": networks["flow"], "critic": critic, "flow_steps": 4, "choice": Choice("one", 8, 4, "min")}
    return {
        "flow": FlowPolicy(refiner=None, **flow),
        "refined": FlowPolicy(refiner=networks["refiner"], **flow),
        "shortcut": ShortcutPolicy(networks["shortcut"], networks["counting critic"], few, steps=4),
        "mean": MeanPolicy(networks["mean"], critic, mean, bound="tanh", std=0.4, noise_limit=0.5),
        "latent": LatentPolicy(networks["latent"], critic, few, prior="normal"),
        "steered": SteeredPolicy(networks["latent"], networks["generator"], critic, few, flow_steps=4),
    }


def changed(policy, kind=None, **fields):
    """The same policy with other fields, and another way of choosing if one is named."""
    choice = policy.choice if kind is None else dataclasses.replace(policy.choice, how=kind)
    return dataclasses.replace(policy, choice=choice, **fields)


LATENTS = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
OBSERVATIONS = np.tile(np.asarray(OBSERVATION), (8, 1))
act_on = jax.jit(lambda policy, latents: policy.act(OBSERVATION, latents))


@jax.jit
def chosen(policy, latents):
    """What there is to choose from, what the critic makes of it, and the choice."""
    samples = policy.sample(OBSERVATION, latents)
    return samples, policy.q_values(OBSERVATION, samples), policy.act(OBSERVATION, latents)


def euler_in_numpy(field, latents, steps, *conditions):
    """Equal steps from time 0, unclipped until the end."""
    x = np.asarray(latents, np.float64)
    for step in range(steps):
        times = np.full((8, 1), step / steps)
        x = x + plain_mlp(field.mlp, OBSERVATIONS, x, times, *conditions) / steps
    assert (np.abs(x) > 1).any()
    assert (np.abs(x) < 1).any()
    return np.clip(x, -1, 1)


@pytest.mark.parametrize("name", ["flow", "refined"])
def test_a_flow_policy_integrates_refines_and_chooses_by_the_smaller_q(peers, name):
    policy = peers[name]
    actions = euler_in_numpy(policy.flow, LATENTS, 4)
    if name == "refined":
        actions = np.clip(actions + plain_mlp(policy.refiner.mlp, OBSERVATIONS, actions), -1, 1)
    np.testing.assert_allclose(act_on(policy, LATENTS[0]), actions[0], **TOLERANCE)
    q = plain_critic(policy.critic, OBSERVATIONS, actions)
    assert q.min(axis=0).argmax() != q.mean(axis=0).argmax()
    best = act_on(policy.with_kind("best-of-n"), LATENTS)
    np.testing.assert_allclose(best, actions[q.min(axis=0).argmax()], **TOLERANCE)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_shortcut_policy_takes_its_steps_and_its_critic_hears_how_many(peers, networks, steps):
    policy = ShortcutPolicy(networks["shortcut"], networks["counting critic"], Choice(num_samples=8), steps=steps)
    samples, q_values, best = chosen(policy.with_kind("best-of-n"), LATENTS)
    actions = euler_in_numpy(policy.actor, LATENTS, steps, np.full((8, 1), np.log2(steps)))
    q = plain_critic(policy.critic, OBSERVATIONS, actions, np.full((8, 1), steps))
    np.testing.assert_allclose(samples, actions, **TOLERANCE)
    np.testing.assert_allclose(q_values, q, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(best, actions[q.mean(axis=0).argmax()], **TOLERANCE)


def test_a_steered_policy_carries_its_latents_and_acts_on_where_they_end(peers, key):
    """Some steps are reflected at the surface of the ball; best of n on the actions that come of it."""
    policy = peers["steered"]
    drawn = policy.with_kind("best-of-n").noise(key=key)
    steered = reflected_in_numpy(policy.generator, OBSERVATIONS, drawn, 4)
    actions = np.clip(plain_mlp(policy.actor.mlp, OBSERVATIONS, steered), -1, 1)
    samples, _, best = chosen(policy.with_kind("best-of-n"), drawn)
    np.testing.assert_allclose(samples, actions, **TOLERANCE)
    np.testing.assert_allclose(act_on(policy, drawn[0]), actions[0], **TOLERANCE)
    q = plain_critic(policy.critic, OBSERVATIONS, actions)
    np.testing.assert_allclose(best, actions[q.mean(axis=0).argmax()], **TOLERANCE)


def test_latents_of_a_steered_policy_are_uniform_in_the_ball(peers, key):
    """(|z| / R)^3 is uniform for d = 3."""
    draws = jax.jit(lambda policy: policy.draw((1000,), key=key))(peers["steered"])
    volumes = (np.linalg.norm(draws, axis=-1) / np.sqrt(3)) ** 3
    assert scipy.stats.kstest(volumes, scipy.stats.uniform.cdf).pvalue > 1e-6


@pytest.mark.parametrize("bound", ["clip", "tanh"])
def test_a_mean_policy_acts_at_its_centre_or_explores_around_it(peers, bound, key):
    policy = MeanPolicy(peers["mean"].actor, None, bound=bound, std=0.4, noise_limit=0.5)
    mean = plain_mlp(policy.actor.mlp, OBSERVATIONS[:1])[0]
    assert (np.abs(mean) > 1).any()
    mean = np.tanh(mean) if bound == "tanh" else mean
    np.testing.assert_allclose(act(policy, key), np.clip(mean, -1, 1), **TOLERANCE)
    latent, one = np.float32([2.0, -0.5, -3.0]), policy.with_kind("one")
    np.testing.assert_allclose(act_on(one, latent), np.clip(mean + np.array([0.5, -0.2, -0.5]), -1, 1), **TOLERANCE)
    unlimited = MeanPolicy(policy.actor, None, Choice("one"), bound=bound, std=0.4)
    np.testing.assert_allclose(
        act_on(unlimited, latent), np.clip(mean + np.array([0.8, -0.2, -1.2]), -1, 1), **TOLERANCE
    )


@pytest.mark.parametrize("name", ["flow", "shortcut", "mean", "latent"])
def test_latents_of_peers_are_standard_normal(peers, key, name):
    draws = jax.jit(lambda policy: policy.draw((1000,), key=key))(peers[name])
    assert scipy.stats.kstest(np.ravel(draws), scipy.stats.norm.cdf).pvalue > 1e-6
    assert peers[name].with_kind("best-of-n").noise(key=key).shape == (8, 3)


@pytest.mark.parametrize("in_what", [None, UNITS], ids=["plain", "in units"])
@pytest.mark.parametrize("name", ["flow", "refined", "shortcut", "mean", "latent", "steered"])
def test_every_class_of_policy_comes_back_from_its_file(peers, tmp_path, name, in_what):
    """With or without a critic: the same structure, static choices included, and the same numbers."""
    whole = peers[name]
    for policy in (whole, eqx.tree_at(lambda p: p.critic, whole, None)):
        policy = in_units(policy, in_what)
        save_policy(policy, tmp_path / "policy")
        loaded = load_policy(tmp_path / "policy").policy
        assert loaded.spec == policy.spec == SPEC
        assert jax.tree.structure(loaded) == jax.tree.structure(policy)
        jax.tree.map(np.testing.assert_array_equal, loaded, policy)
    with pytest.raises(ValueError, match="'dense' ranks samples by Q, but this policy has no critic"):
        load_policy(tmp_path / "policy", kind="dense")


def test_a_flow_in_units_acts_in_them_after_a_round_trip(peers, tmp_path):
    save_policy(in_units(peers["refined"], UNITS), tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy").policy
    inward = (OBSERVATION - UNITS.observation_mean) / UNITS.observation_std
    action = jax.jit(lambda p, o, z: p.act(o, z))(peers["refined"], inward, LATENTS[0])
    expected = UNITS.action_low + (np.asarray(action) + 1) / 2 * (UNITS.action_high - UNITS.action_low)
    np.testing.assert_allclose(act_on(loaded, LATENTS[0]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("latent", {"prior": "uniform"}), "prior must be one of ball, normal, found 'uniform'"),
        (("mean", {"bound": "sigmoid"}), "bound must be one of clip, tanh, found 'sigmoid'"),
        (("shortcut", {"steps": 3}), "steps must be one of 1, 2, 4 and 8, found 3"),
        (("flow", {"kind": "all"}), "policy kind must be one of one, centre, best-of-n, dense, found 'all'"),
        (("flow", {"kind": "best-of-n", "critic": None}), "'best-of-n' ranks samples by Q, but this policy has no"),
        (("steered", {"kind": "best-of-n", "critic": None}), "'best-of-n' ranks samples by Q, but this policy has"),
        (("shortcut", {"kind": "dense", "critic": None}), "'dense' ranks samples by Q, but this policy has no"),
        (("mean", {"kind": "best-of-n", "critic": None}), "'best-of-n' ranks samples by Q, but this policy has no"),
    ],
)
def test_peers_that_cannot_be_are_refused(peers, monkeypatch, change, words):
    """As users meet it, without the tests' checks of types."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    name, fields = change
    kind, others = fields.get("kind"), {field: value for field, value in fields.items() if field != "kind"}
    with pytest.raises(ValueError, match=words):
        changed(peers[name], kind, **others)
