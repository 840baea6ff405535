"""Sections 5.2 and 5.3: the mechanism at work in training, by `drol.step` itself on a bandit with known answers.

Claim. Over training the candidate set does not collapse while the critic pulls; responsibility for a supported action
is handed from one latent to another; the spread grows and the routed behaviour cloning loss falls with K. A sample
that must keep its own target settles instead at the compromise of Proposition 4.3.

What was found (four modes, a peak outside all of them, bc_coef 20, two seeds, 2,400 updates).

* The claims hold from K = 4 on. At K = 4 the worst covered mode is 0.3 from its nearest candidate, at K = 16 less
  than 0.1, against 0.7 for a collapsed actor and 0.15 for the radius of a mode.
* Coverage has a price that K pays: K = 1 and K = 2 cannot cover four modes, with or without a critic.
* Routing is no licence for any pull. With a critic five times as strong (bc_coef 4) the candidates of K = 4 leave the
  modes for the ridge that the critic, trained on the modes alone, imagines between them (named example below).
* At equal coefficients routing earns more than the pointwise compromise: the released candidates improve, and the
  modes stay covered by others.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import DROL
from drol.benchmarks.bandit import History, PointwiseCorrespondence, four_corners, train
from drol.ops.latent import default_radius, sample_ball

BANDIT = four_corners()
SEEDS, UPDATES, SNAPSHOTS = 2, 2_400, 48
BC_COEF = 20.0
# Half a side of the square is 0.5 and a collapsed actor at its centre is 0.71 from every mode.
COVERED = 0.35
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
    """Final candidates of 2,048 latents, and the history of 16 probes: every seed along the first axis."""
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
    probes, many = latents(16, seed=99), latents(2_048, seed=5)

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


@pytest.mark.parametrize("count", [4, 8, 16])
def test_the_modes_stay_covered_while_the_critic_pulls(count):
    candidates, _ = trained(count)
    assert farthest_mode(candidates).max() < COVERED
    assert float(BANDIT.reward(candidates).mean()) > float(BANDIT.reward(BANDIT.modes).mean()) + 0.1, "and it pulls"


def test_more_candidates_spread_further_and_clone_better():
    """For every seed: the routed loss falls from each K to the next, and the candidates' spread grows."""
    losses = np.array([final(trained(count)[1], "bc_loss") for count in KS])
    assert (np.diff(losses, axis=0) < 0).all(), losses
    spreads = np.array([final(trained(count)[1], "pairwise_distance") for count in KS])
    assert (np.diff(spreads, axis=0) > 0).all(), spreads


@pytest.mark.parametrize("count", [4, 16])
def test_ownership_is_handed_over_to_let_the_former_owner_improve(count):
    """Fixed probe latents, after the first quarter of training: the mode gets a new owner, and the old one gains."""
    _, history = trained(count)
    for seed in range(SEEDS):
        owners = np.asarray(History(history.candidates[seed], {}).owners(BANDIT.modes))
        rewards = np.asarray(BANDIT.reward(history.candidates[seed]))
        start = SNAPSHOTS // 4
        changes = np.argwhere(owners[start + 1 :] != owners[start:-1])
        assert len(changes) > 0, "handed over at least once"
        former = [(start + snapshot, owners[start + snapshot, mode]) for snapshot, mode in changes]
        assert any(rewards[-1, owner] > rewards[snapshot, owner] for snapshot, owner in former)


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
    assert float(jnp.linalg.norm(compromise - targets, axis=-1).min()) > 0.07, "the two can be told apart"
    assert float(jnp.linalg.norm(samples - compromise, axis=-1).max()) < 0.035


def test_routing_earns_more_than_the_compromise_at_equal_coefficients():
    candidates, _ = trained(16)
    compromise = float(BANDIT.reward(BANDIT.compromise(BANDIT.modes, BC_COEF / 2)).mean())
    assert float(BANDIT.reward(candidates).mean(axis=-1).min()) > compromise + 0.03
    assert farthest_mode(candidates).max() < BANDIT.spread


def test_counterexample_a_critic_too_strong_empties_the_modes():
    candidates, _ = trained(4, bc_coef=4.0)
    assert farthest_mode(candidates).min() > COVERED
