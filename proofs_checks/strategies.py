"""Generators that reach the hard corners: near ties, coincident points, saturated coordinates, vanishing numbers."""

import numpy as np
from hypothesis import strategies as st

# Counts of candidates and dimensions, one compilation each.
SHAPES = [(1, 1), (1, 3), (2, 1), (4, 3), (16, 8)]

numbers = st.one_of(st.floats(-1, 1, allow_subnormal=False), st.sampled_from([-1.0, 0.0, 1.0]))
positive = st.one_of(st.floats(1e-6, 1e-2), st.floats(0.01, 10.0), st.floats(10.0, 1e4))


def vectors(*shape: int, elements=numbers):
    """Arrays of float64 with entries in [-1, 1], the ends and 0 among them."""
    size = int(np.prod(shape))
    return st.lists(elements, min_size=size, max_size=size).map(lambda v: np.array(v, np.float64).reshape(shape))


@st.composite
def scenes(draw, count: int, dim: int):
    """Candidates and a target in the box; in half of the cases all candidates are almost equally far from the target.

    The relative differences between those distances go down to 1e-10, far above the rounding of their squares (1e-15).
    """
    candidates, target = draw(vectors(count, dim)), draw(vectors(dim))
    if draw(st.booleans()):
        return candidates, target
    norms = np.linalg.norm(candidates, axis=-1, keepdims=True)
    direction = np.where(norms > 1e-3, candidates / np.where(norms > 1e-3, norms, 1), np.eye(dim)[0])
    target = target / 4
    gap = draw(st.sampled_from([1e-10, 1e-6, 1e-2]))
    reach = draw(st.sampled_from([0.05, 0.5]))
    order = np.array(draw(st.permutations(range(count))))
    return target + reach * direction * (1 + gap * order[:, None]), target
