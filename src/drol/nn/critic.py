"""The critic ensemble Q_phi(s, a) (eq. 2)."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.mlp import MLP
from drol.types import Key, Spec


class CriticEnsemble(eqx.Module):
    """Independent MLPs on concat(s, a) with layer norm after each hidden activation and a scalar output.

    The members' parameters are stacked on a leading ensemble axis.
    """

    members: MLP

    def __init__(self, spec: Spec, hidden: Sequence[int], *, ensemble: int = 2, key: Key):
        def member(member_key: Key) -> MLP:
            return MLP(spec.observation_dim + spec.action_dim, hidden, 1, layer_norm=True, key=member_key)

        self.members = eqx.filter_vmap(member)(jax.random.split(key, ensemble))

    def __call__(
        self, observation: Float[Array, "*batch observation"], action: Float[Array, "*batch action"]
    ) -> Float[Array, "ensemble *batch"]:
        """Every member's Q(s, a)."""
        inputs = jnp.concatenate([observation, action], axis=-1)
        return eqx.filter_vmap(lambda member: member(inputs)[..., 0])(self.members)
