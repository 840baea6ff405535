"""The winner-only step against eq. 8 taken literally, and the hyperparameters' limits."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import DROL, DROLNoise, Spec
from drol.algorithm import from_hyperparameters, hyperparameters
from drol.benchmarks.literal import literal_gradients, literal_update
from tests.helpers.batches import random_batch
from tests.helpers.plain_algorithms import update
from tests.helpers.small_algorithms import init, noise_of

gradients = jax.jit(lambda algorithm, state, batch, noise: algorithm.gradients(state, batch, noise))


def leaves_close(ours, theirs, rtol):
    """Every array equal up to `rtol` of its largest entry."""
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=rtol * max(float(jnp.abs(other).max()), 1e-12))


LITERAL = {
    "one candidate": (1, 3, 2, {}),
    "min target": (2, 1, 7, {"q_agg": "min"}),
    "mean actor": (5, 3, 12, {"actor_q_agg": "mean"}),
    "no lambda": (16, 5, 8, {"normalize_q": False, "ensemble": 3}),
    "best of 4": (7, 2, 6, {"backup_candidates": 4}),
}
BY_DEFAULT = {("min target", "all"), ("best of 4", "winners"), ("mean actor", "winners")}
"""Both readings of eq. 8, both aggregations of the target and of the actor; the other cases are slow."""


@pytest.mark.parametrize(
    ("count", "dim", "rows", "options", "critic_on_all"),
    [
        pytest.param(
            *case,
            critic_on == "all",
            id=f"{name}-{critic_on}",
            marks=[] if (name, critic_on) in BY_DEFAULT else pytest.mark.slow,
        )
        for name, case in LITERAL.items()
        for critic_on in ("all", "winners")
    ],
)
def test_winner_only_gradient_is_the_literal_one(count, dim, rows, options, critic_on_all):
    """In float64, with duplicated latents (exact ties) and winners on both sides of the clip."""
    with jax.enable_x64(True):
        spec = Spec(6, dim)
        algorithm = DROL(num_candidates=count, hidden=(12, 12), bc_coef=3.0, q_coef=0.7, **options)
        key = jax.random.key(20 + count)
        state = init(algorithm, spec, key)
        # Three times the output weights: some coordinates saturate, and have no gradient, and others do not.
        state = eqx.tree_at(lambda s: s.actor.mlp.layers[-1].weight, state, replace_fn=lambda w: 3 * w)
        batch = jax.tree.map(lambda x: x.astype(jnp.float64), random_batch(key, rows, spec))
        noise = noise_of(algorithm, spec, rows, key)
        if count > 1:
            noise = DROLNoise(noise.candidates.at[:, -1].set(noise.candidates[:, 0]), noise.next_latents)
        candidates = state.actor.candidates(batch.observations, noise.candidates)
        nearest = jnp.argmin(((candidates - batch.actions[:, None]) ** 2).sum(-1), axis=1)
        saturated = jnp.abs(jnp.take_along_axis(candidates, nearest[:, None, None], axis=1)) == 1
        assert 0 < saturated.mean() < 1
        ours, _ = gradients(algorithm, state, batch, noise)
        literal = eqx.filter_jit(literal_gradients)(algorithm, state, batch, noise, critic_on_all=critic_on_all)
        leaves_close(ours, literal, 1e-10)


def test_the_update_is_adam_on_the_literal_gradients(algorithm, batch, key):
    state = init(algorithm, batch.spec, key)
    literal = eqx.filter_jit(literal_update)
    ours = theirs = state
    for i in range(5):
        noise = noise_of(algorithm, batch.spec, 8, jax.random.fold_in(key, i))
        ours, _ = update(algorithm, ours, batch, noise)
        theirs = literal(algorithm, theirs, batch, noise, critic_on_all=True)
    leaves_close(ours, theirs, 1e-5)


def test_losers_have_no_say(algorithm, batch, key):
    """Moving the latents of losing candidates slightly leaves gradients and losses as they are."""
    state = init(algorithm, batch.spec, key)
    noise = noise_of(algorithm, batch.spec, 8, key)
    candidates = state.actor.candidates(batch.observations, noise.candidates)
    winners = jnp.argmin(((candidates - batch.actions[:, None]) ** 2).sum(-1), axis=1)
    loser = jnp.arange(4)[None] != winners[:, None]
    moved = DROLNoise(noise.candidates + 1e-4 * loser[..., None], noise.next_latents)
    before, metrics = gradients(algorithm, state, batch, noise)
    after, moved_metrics = gradients(algorithm, state, batch, moved)
    leaves_close(after, before, 0)
    assert metrics["actor_loss"] == moved_metrics["actor_loss"]
    assert metrics["centroid_divergence"] != moved_metrics["centroid_divergence"]


def test_next_actions_have_latents_of_their_own(spec, key):
    """No draw appears twice, within a state or between its candidates and its next actions."""
    algorithm = DROL(num_candidates=4, backup_candidates=3, hidden=(8,))
    noise = noise_of(algorithm, spec, 8, key)
    draws = np.concatenate([noise.candidates, noise.next_latents], axis=1).reshape(-1, spec.action_dim)
    assert draws.shape[0] == 8 * 7
    assert len(np.unique(draws, axis=0)) == len(draws)


@pytest.mark.parametrize("radius", [None, 0.25, 4.0])
def test_latents_fill_the_ball_of_the_radius_in_training_and_when_acting(spec, key, radius):
    """Candidates, next actions and the policy's own; of some thousands, the longest comes near the surface."""
    algorithm, expected = DROL(num_candidates=8, hidden=(8,), latent_radius=radius), radius or np.sqrt(3)
    noise = noise_of(algorithm, spec, 500, key)
    policy = algorithm.policy(init(algorithm, spec, key))
    for draws in (noise.candidates, noise.next_latents, policy.draw((4000,), key=key)):
        lengths = np.linalg.norm(draws, axis=-1)
        assert 0.97 * expected < lengths.max() <= expected
        # E|z| = d / (d + 1) R
        assert lengths.mean() == pytest.approx(0.75 * expected, rel=0.05)


def test_the_loss_does_not_depend_on_the_order_of_candidates(algorithm, batch, key):
    state = init(algorithm, batch.spec, key)
    noise = noise_of(algorithm, batch.spec, 8, key)
    turned = DROLNoise(noise.candidates[:, ::-1], noise.next_latents)
    before, _ = gradients(algorithm, state, batch, noise)
    after, _ = gradients(algorithm, state, batch, turned)
    leaves_close(after, before, 1e-6)


def test_one_candidate_reports_no_spread_and_an_infinite_margin(batch, key):
    algorithm = DROL(num_candidates=1, hidden=(8,))
    state = init(algorithm, batch.spec, key)
    _, metrics = update(algorithm, state, batch, noise_of(algorithm, batch.spec, 8, key))
    assert metrics["pairwise_distance"] == 0
    assert np.isinf(metrics["routing_margin"])


def test_metrics_have_a_fixed_tree(batch, key):
    trees = set()
    for options in ({}, {"normalize_q": False}, {"num_candidates": 1}, {"q_agg": "min", "backup_candidates": 3}):
        algorithm = DROL(hidden=(8,), **options)
        state = init(algorithm, batch.spec, key)
        noise = noise_of(algorithm, batch.spec, 8, key)
        trees.add(tuple(jax.eval_shape(algorithm.update, state, batch, noise)[1]))
    assert len(trees) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_candidates": 0}, "num_candidates must be a finite number at least 1, found 0"),
        ({"ensemble": True}, "ensemble must be an integer, found True"),
        ({"bc_coef": -1.0}, "bc_coef must be a finite number at least 0, found -1"),
        ({"q_coef": float("nan")}, "q_coef"),
        ({"discount": 1.5}, "discount must be a finite number between 0 and 1, found 1.5"),
        ({"tau": -0.1}, "tau"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"backup_candidates": 0}, "backup_candidates"),
        ({"hidden": ()}, "at least one hidden layer"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(options, words, spec, key):
    with pytest.raises(ValueError, match=words):
        DROL(**options).init(spec, key=key)


def test_hyperparameters_round_trip():
    algorithm = DROL(num_candidates=3, bc_coef=2.5, hidden=(7, 8), q_agg="min")
    values = hyperparameters(algorithm)
    assert values["hidden"] == [7, 8]
    assert hyperparameters(from_hyperparameters(DROL, values)) == values
    assert set(values) == {field.name for field in dataclasses.fields(DROL)}
    with pytest.raises(ValueError, match="no hyperparameter bc_weight"):
        from_hyperparameters(DROL, {"bc_weight": 1.0})
