"""Top-1 dynamic routing and the geometry behind it (eq. 7, eq. 10, section C.2).

Functions take one set of candidates; use `jax.vmap` for a batch.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from drol.types import Scalar

Candidates = Float[Array, "num_candidates action"]
Action = Float[Array, " action"]


class Route(NamedTuple):
    """The outcome of routing one action."""

    winner: Int[Array, ""]
    squared_distance: Float[Array, ""]
    margin: Float[Array, ""]


def squared_distances(
    candidates: Candidates, action: Action, valid: Action | None = None
) -> Float[Array, " num_candidates"]:
    """|a_k - a|^2 for every candidate, over the valid numbers (1, not 0) if these are given."""
    squares = (candidates - action) ** 2
    return jnp.sum(squares if valid is None else valid * squares, axis=-1)


def route(candidates: Candidates, action: Action, valid: Action | None = None) -> Route:
    """Route an action to its nearest candidate: k* = argmin_k |a_k - a|^2, ties to the lowest index.

    Of an action that is a chunk of several steps, numbers that are not valid (0) take no part.

    The margin is min_{j != k*} |a_j - a|^2 - |a_{k*} - a|^2 >= 0, and infinite for a single candidate.

    Source: eq. 7; margin of section C.2.
    """
    distances = squared_distances(candidates, action, valid)
    winner = jnp.argmin(distances)
    is_winner = jnp.arange(distances.shape[0]) == winner
    runner_up = jnp.min(jnp.where(is_winner, jnp.inf, distances))
    return Route(winner, distances[winner], runner_up - distances[winner])


def safe_radius(candidates: Candidates, action: Action) -> Scalar:
    """How far every candidate may move at once without changing the winner: (d_2 - d_1) / 2.

    d_1 <= d_2 are the two smallest distances; infinite for a single candidate. Source: section C.2.
    """
    result = route(candidates, action)
    nearest = jnp.sqrt(result.squared_distance)
    return (jnp.sqrt(result.squared_distance + result.margin) - nearest) / 2


def in_cell(point: Action, candidates: Candidates, index: int | Int[Array, ""]) -> Bool[Array, ""]:
    """Whether `point` lies in the Voronoi cell V_k = {x : |x - a_k| <= |x - a_j| for all j} (eq. 10).

    Cells are closed: a tie belongs to every cell it touches, while `route` picks the lowest index.
    """
    distances = squared_distances(candidates, point)
    return distances[index] <= jnp.min(distances)


def bisector(first: Action, second: Action) -> tuple[Action, Scalar]:
    """The hyperplane between two candidates, {x : 2 (a_j - a_i) . x = |a_j|^2 - |a_i|^2}.

    Returns:
        `(normal, offset)`: `normal @ x - offset` is negative on the side of `first`, positive on that of `second`.

    Source: eq. 10.
    """
    return 2 * (second - first), jnp.sum(second**2) - jnp.sum(first**2)


def centroid_divergence(candidates: Candidates) -> Scalar:
    """mean_k |a_k - mean_k a_k|^2 / d: the spread of a candidate set, 0 when it has collapsed."""
    return jnp.mean((candidates - jnp.mean(candidates, axis=0)) ** 2)


def pairwise_distance(divergence: Scalar, num_candidates: int) -> Scalar:
    """sqrt(mean_{i != j} |a_i - a_j|^2 / d) of K candidates, from their `centroid_divergence`; 0 for K = 1.

    It is sqrt(2 K / (K - 1) * centroid divergence): K operations instead of K^2. The mean divergence of many candidate
    sets gives the root mean square over all their pairs.
    """
    return jnp.sqrt(2 * num_candidates / max(num_candidates - 1, 1) * divergence)


def winner_share(winners: Int[Array, " probes"], num_candidates: int) -> Float[Array, " num_candidates"]:
    """The fraction of probe states that each latent wins.

    Only meaningful on fixed probe states with one fixed set of latents shared by all of them: with fresh latents the
    winner's index is uniform by exchangeability.
    """
    return jnp.bincount(winners, length=num_candidates) / winners.shape[0]


def winner_entropy(share: Float[Array, " num_candidates"]) -> Scalar:
    """Shannon entropy of `winner_share`, in nats: log K when every latent wins equally often, 0 when one wins all."""
    return -jnp.sum(jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1)), 0))


def handoff_rate(before: Int[Array, " probes"], after: Int[Array, " probes"]) -> Scalar:
    """The fraction of probe states whose winning latent changed between two points in training."""
    return jnp.mean(before != after)
