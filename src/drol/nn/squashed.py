"""A Gaussian actor whose draws are squashed into the action box by tanh (soft actor-critic)."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.mlp import MLP
from drol.types import Key, Spec

LOG_STD = (-5.0, 2.0)
"""Bounds to which log standard deviations are clipped."""


class SquashedActor(eqx.Module):
    """The mean and the log standard deviation of u, whose tanh is the action: one MLP without layer norm.

    The output layer is initialised ten times smaller than the others.
    """

    mlp: MLP

    def __init__(self, spec: Spec, hidden: Sequence[int], *, key: Key):
        self.mlp = MLP(spec.observation_dim, hidden, 2 * spec.plan_dim, layer_norm=False, output_gain=0.1, key=key)

    def __call__(
        self, observation: Float[Array, "*batch observation"]
    ) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch action"]]:
        """The mean and the log standard deviation for each observation, before tanh."""
        mean, log_std = jnp.split(self.mlp(observation), 2, axis=-1)
        return mean, jnp.clip(log_std, *LOG_STD)
