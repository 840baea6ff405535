"""The mean of a Gaussian or deterministic actor."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float

from drol.nn.mlp import MLP
from drol.types import Key, Spec


class MeanActor(eqx.Module):
    """mu(s): an MLP without layer norm, unbounded; its output layer is initialised ten times smaller than the others.

    A Gaussian of unit variance has this mean; a deterministic actor is its tanh.
    """

    mlp: MLP

    def __init__(self, spec: Spec, hidden: Sequence[int], *, key: Key):
        self.mlp = MLP(spec.observation_dim, hidden, spec.plan_dim, layer_norm=False, output_gain=0.1, key=key)

    def __call__(self, observation: Float[Array, "*batch observation"]) -> Float[Array, "*batch action"]:
        """One mean per observation."""
        return self.mlp(observation)
