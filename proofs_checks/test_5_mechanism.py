"""Sections 5.2 and 5.3: the mechanism at work in training, by `drol.step` itself on a bandit with known answers.

Claim. Over training the candidate set does not collapse while the critic pulls; responsibility for a supported action
is handed from one latent to another; the spread grows and the routed behaviour cloning loss falls with K. A sample
that must keep its own target settles instead at the compromise of Proposition 4.3.

Findings (four modes of radius 0.15, a peak outside all of them, bc_coef 80, two seeds, 2,400 updates; the foil is
given the true reward as its Q, DROL learns its critic).

* From K = 8 on every mode has a candidate inside it while the critic pulls. At K = 4 the worst mode has one at its
  edge: within 0.25, halfway to the next mode's cell, against 0.7 for a collapsed actor.
* Coverage needs a large enough K: K = 1 and K = 2 cannot cover four modes, with or without a critic. A critic four
  times as strong costs K = 4 a mode, and K = 16 none (named example below).
* Hand-overs are not flicker between neighbours: at K = 4 an owner inside a mode leaves it for a higher reward, and
  another latent takes the mode and keeps it. The same predicate finds nothing in the foil. At K = 16 the modes are
  assigned in the first quarter of training, and later hand-overs are rare.
* At equal coefficients routing earns more than the pointwise compromise: the released candidates improve, and the
  modes stay covered by others.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol
from drol import DROL
from drol.ops.latent import default_radius, sample_ball
from examples.bandit import History, PointwiseCorrespondence, four_corners, train

BANDIT = four_corners()
SEEDS, UPDATES, SNAPSHOTS = 2, 2_400, 48
BC_COEF = 80.0
# Half of 0.5, the distance from a mode to the nearest side of its Voronoi cell. A collapsed actor is at 0.71.
COVERED = 0.25
KS = (1, 2, 4, 8, 16)


@pytest.fixture(autouse=True)
def double_precision():
    """Training runs in float32, as it does for users."""
    with jax.enable_x64(False):
        yield


def latents(count, seed):
    return sample_ball(jax.random.key(seed), (count,), 2, default_radius(2))


@functools.cache
def trained(count: int, bc_coef: float = BC_COEF, q_coef: float = 1.0):
    """Final candidates of 2,048 latents, and the history of 64 probes: every seed along the first axis."""
    algorithm = DROL(
        num_candidates=count,
        bc_coef=bc_coef,
        q_coef=q_coef,
        hidden=(64, 64),
        learning_rate=1e-3,
        normalize_q=False,
    )
    return fit(algorithm)


def fit(algorithm):
    probes, many = latents(64, seed=99), latents(2_048, seed=5)

    def one(key):
        state, history = train(algorithm, BANDIT, updates=UPDATES, snapshots=SNAPSHOTS, probes=probes, key=key)
        return state.actor.candidates(jnp.zeros(1), many), history

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), SEEDS))


def farthest_mode(candidates):
    """For each seed, the distance from its worst covered mode to the nearest candidate."""
    distances = jnp.linalg.norm(candidates[:, None] - BANDIT.modes[:, None], axis=-1)
    return np.asarray(distances.min(axis=-1).max(axis=-1))


def final(history, name):
    """A metric at the end of training: the mean of the last 200 updates, for each seed."""
    return np.asarray(history.metrics[name][:, -200:].mean(axis=-1))


@pytest.mark.parametrize(("count", "within"), [(4, COVERED), (8, BANDIT.spread), (16, BANDIT.spread)])
def test_the_modes_stay_covered_while_the_critic_pulls(count, within):
    candidates, _ = trained(count)
    assert farthest_mode(candidates).max() < within
    gain = BANDIT.reward(candidates).mean(axis=-1) - BANDIT.reward(BANDIT.modes).mean()
    assert float(gain.min()) > 0.04, "and the critic pulls"


def test_more_candidates_spread_further_and_clone_better():
    """For every seed: the routed loss falls from each K to the next, and the candidates' spread grows."""
    losses = np.array([final(trained(count)[1], "bc_loss") for count in KS])
    assert (np.diff(losses, axis=0) < 0).all(), losses
    spreads = np.array([final(trained(count)[1], "pairwise_distance") for count in KS])
    assert (np.diff(spreads, axis=0) > 0).all(), spreads


def handovers(candidates):
    """Pairs (mode, former owner): it owned the mode from inside, left for a higher reward, and was replaced for good.

    Only after the first quarter of training. Left: farther than 0.2 from a mode of radius 0.15, with the reward up by
    0.05, a twelfth of the gap between the modes' mean reward and the peak's. For good: the successor owns the mode from
    inside at three snapshots in a row.
    """
    owners = np.asarray(History(candidates, {}).owners(BANDIT.modes))
    distances = np.linalg.norm(np.asarray(candidates)[:, :, None] - np.asarray(BANDIT.modes), axis=-1)
    rewards = np.asarray(BANDIT.reward(candidates))
    found = set()
    for mode, before in itertools.product(range(len(BANDIT.modes)), range(SNAPSHOTS // 4, SNAPSHOTS - 3)):
        former, inside = owners[before, mode], distances[:, :, mode] < BANDIT.spread
        for after in range(before + 1, SNAPSHOTS - 1):
            successor = owners[after, mode]
            left = distances[after, former, mode] > 0.2 and rewards[after, former] > rewards[before, former] + 0.05
            kept = (owners[after : after + 3, mode] == successor).all() and inside[after : after + 3, successor].all()
            if successor != former and inside[before, former] and left and kept:
                found.add((mode, int(former)))
    return found


def test_ownership_is_handed_over_and_the_former_owner_improves():
    """On fixed probe latents, K = 4; the foil, at the same coefficients and watched in the same way, never does."""
    _, history = trained(4)
    assert all(handovers(history.candidates[seed]) for seed in range(SEEDS))
    _, foil = fit(PointwiseCorrespondence(BANDIT, bc_coef=BC_COEF))
    assert not any(handovers(foil.candidates[seed]) for seed in range(SEEDS))


def test_one_candidate_without_a_critic_collapses_to_the_mean():
    candidates, history = trained(1, q_coef=0.0)
    np.testing.assert_allclose(candidates.mean(axis=1), np.zeros((SEEDS, 2)), atol=0.05)
    assert float(candidates.std(axis=1).max()) < 0.05
    # What cannot be cloned: the variance of the data about their mean, here 1/4 + spread^2 / 4 per dimension.
    np.testing.assert_allclose(final(history, "bc_loss"), 0.25 + BANDIT.spread**2 / 4, rtol=0.03)


def test_the_same_actor_with_sixteen_candidates_does_not():
    candidates, _ = trained(16, q_coef=0.0)
    assert farthest_mode(candidates).max() < 0.05


@pytest.mark.parametrize("bc_coef", [1.0, 4.0])
def test_the_pointwise_foil_settles_at_the_compromise(bc_coef):
    """Latents in the middle of their teacher's sector end at (mu a* + 2 alpha t) / (mu + 2 alpha)."""
    algorithm = PointwiseCorrespondence(BANDIT, bc_coef=bc_coef)
    middles = BANDIT.modes / jnp.linalg.norm(BANDIT.modes, axis=-1, keepdims=True) * default_radius(2) * 0.7

    def one(key):
        state, _ = train(algorithm, BANDIT, updates=UPDATES, snapshots=1, probes=middles, key=key)
        return state.actor.candidates(jnp.zeros(1), middles)

    samples = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), SEEDS))
    targets = algorithm.teacher(middles)
    np.testing.assert_array_equal(targets, BANDIT.modes)
    compromise = BANDIT.compromise(targets, bc_coef / 2)
    shift = jnp.linalg.norm(compromise - targets, axis=-1)
    errors = jnp.linalg.norm(samples - compromise, axis=-1)
    assert float((errors / shift).max()) < 0.4, "nearer to the compromise than to the target, for every mode"
    assert float(errors.mean() / shift.mean()) < 0.1


def test_routing_earns_more_than_the_compromise_at_equal_coefficients():
    candidates, _ = trained(16)
    compromise = float(BANDIT.reward(BANDIT.compromise(BANDIT.modes, BC_COEF / 2)).mean())
    assert float(BANDIT.reward(candidates).mean(axis=-1).min()) > compromise + 0.02
    assert farthest_mode(candidates).max() < BANDIT.spread


def test_counterexample_a_critic_too_strong_for_four_candidates():
    """A quarter of the coefficient: K = 4 loses a mode, K = 16 keeps all of them."""
    assert farthest_mode(trained(4, bc_coef=BC_COEF / 4)[0]).min() > COVERED
    assert farthest_mode(trained(16, bc_coef=BC_COEF / 4)[0]).max() < BANDIT.spread


def test_the_foil_keeps_the_contract_of_sharded_batches():
    """Four shards of a batch under `axis_name` make the update of the whole."""
    foil, batch = PointwiseCorrespondence(BANDIT), BANDIT.batch(8, key=jax.random.key(1))
    state = foil.init(BANDIT.spec, key=jax.random.key(0))
    shards = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), batch)

    @jax.jit
    def both(state):
        whole = drol.step(foil, state, batch, key=jax.random.key(2))
        sharded = jax.vmap(
            lambda s: drol.step(foil, state, s, key=jax.random.key(2), axis_name="data"), axis_name="data"
        )
        return whole, jax.tree.map(lambda x: x[0], sharded(shards))

    for whole, sharded in zip(*map(jax.tree.leaves, both(state)), strict=True):
        np.testing.assert_allclose(sharded, whole, rtol=1e-5, atol=1e-6)
