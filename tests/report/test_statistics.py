"""Statistics over seeds and tasks, against straight computations and against rliable, whose definitions they follow."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drol.report.statistics import improvement, interquartile_mean, interval, mean

rng = np.random.default_rng(0)


def matrices():
    """Scores of 3 tasks, with ties, and other scores with other numbers of seeds."""
    for seeds, others in itertools.product((1, 2, 5, 8), (1, 3, 8)):
        draws = np.random.default_rng(100 * seeds + others)
        yield draws.integers(0, 6, (seeds, 3)) / 5, draws.integers(0, 6, (others, 3)) / 5


def by_task(matrix):
    return list(matrix.T)


@pytest.mark.parametrize(("matrix", "other"), list(matrices()))
def test_point_estimates_are_those_of_rliable(matrix, other):
    metrics = pytest.importorskip("rliable.metrics", reason="install the extra `rliable`")
    assert mean(by_task(matrix)) == pytest.approx(metrics.aggregate_mean(matrix), abs=1e-12)
    assert interquartile_mean(by_task(matrix)) == pytest.approx(metrics.aggregate_iqm(matrix), abs=1e-12)
    won = metrics.probability_of_improvement(matrix, other)
    assert improvement(by_task(matrix), by_task(other)) == pytest.approx(won, abs=1e-12)


def test_intervals_are_those_of_rliable():
    library = pytest.importorskip("rliable.library", reason="install the extra `rliable`")
    metrics = pytest.importorskip("rliable.metrics")
    matrix, other = rng.normal(size=(6, 3)), rng.normal(0.3, 1, size=(9, 3))
    _, found = library.get_interval_estimates(
        {"a": matrix}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=4_000
    )
    ours = interval(interquartile_mean, by_task(matrix), resamples=20_000)
    assert ours == pytest.approx(found["a"][:, 0], abs=0.06)
    _, found = library.get_interval_estimates(
        {"a,b": (matrix, other)},
        lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
        reps=2_000,
    )
    ours = interval(improvement, by_task(matrix), by_task(other))
    assert ours == pytest.approx(found["a,b"][:, 0], abs=0.03)


def test_by_hand():
    scores = [np.array([0.0, 1.0, 2.0, 9.0]), np.array([4.0, 6.0])]
    assert mean(scores) == 4.0
    assert interquartile_mean(scores) == pytest.approx((1 + 2 + 4 + 6) / 4)
    assert improvement([np.array([1.0, 2.0])], [np.array([0.0, 2.0, 3.0])]) == pytest.approx((1 + 1.5) / 6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_the_interquartile_mean_lies_among_the_middle_half(values):
    ordered = np.sort(values)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    found = float(interquartile_mean([np.array(values)]))
    assert middle[0] - 1e-6 <= found <= middle[-1] + 1e-6


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_improvements_of_both_directions_add_up_to_one(scores, others):
    one, other = [np.array(scores, float)], [np.array(others, float)]
    assert improvement(one, other) + improvement(other, one) == pytest.approx(1)


def test_intervals_cover_what_they_should():
    """About 95 % of the intervals hold the true mean; of 20 scores, the bootstrap covers a little less."""
    draws = np.random.default_rng(1).normal(size=(200, 20))
    covered = [low <= 0 <= high for low, high in (interval(mean, [sample], resamples=1_000) for sample in draws)]
    assert 0.88 <= np.mean(covered) <= 0.98


def test_seeds_are_drawn_within_their_task():
    """Two tasks far apart: pooled draws would mix them."""
    low, high = interval(mean, [np.array([0.0, 0.1]), np.array([100.0, 100.1])])
    assert (low, high) == pytest.approx((50.0, 50.1))


def test_one_seed_has_no_interval():
    assert interval(mean, [np.array([1.0]), np.array([2.0])]) is None
    assert interval(improvement, [np.array([1.0])], [np.array([2.0, 3.0])]) is not None


def test_intervals_repeat():
    scores = [rng.normal(size=5)]
    assert interval(mean, scores) == interval(mean, scores)
