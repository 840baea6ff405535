"""The critic ensemble Q_phi(s, a) (eq. 2), and the state value V(s)."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.mlp import MLP
from drol.types import Key, Spec


class CriticEnsemble(eqx.Module):
    """Independent MLPs on concat(s, a), by default with layer norm after each hidden activation, and a scalar output.

    The members' parameters are stacked on a leading ensemble axis.
    """

    members: MLP

    def __init__(
        self,
        spec: Spec,
        hidden: Sequence[int],
        *,
        ensemble: int = 2,
        conditions: int = 0,
        layer_norm: bool = True,
        key: Key,
    ):
        """Build the networks.

        Args:
            spec: the task's dimensions.
            hidden: widths of the hidden layers.
            ensemble: number of members.
            conditions: number of scalar inputs that follow the action.
            layer_norm: normalise after each hidden activation.
            key: random key of the weights.
        """
        fan_in = spec.observation_dim + spec.plan_dim + conditions

        def member(member_key: Key) -> MLP:
            return MLP(fan_in, hidden, 1, layer_norm=layer_norm, key=member_key)

        self.members = eqx.filter_vmap(member)(jax.random.split(key, ensemble))

    def __call__(
        self,
        observation: Float[Array, "*batch observation"],
        action: Float[Array, "*batch action"],
        *conditions: Float[Array, ""],
    ) -> Float[Array, "ensemble *batch"]:
        """Every member's Q(s, a), or Q(s, a, c_1, ..., c_n)."""
        columns = [jnp.broadcast_to(c, (*action.shape[:-1], 1)) for c in conditions]
        inputs = jnp.concatenate([observation, action, *columns], axis=-1)
        return eqx.filter_vmap(lambda member: member(inputs)[..., 0])(self.members)


class Value(eqx.Module):
    """V(s): one MLP with layer norm and a scalar output."""

    mlp: MLP

    def __init__(self, spec: Spec, hidden: Sequence[int], *, key: Key):
        self.mlp = MLP(spec.observation_dim, hidden, 1, layer_norm=True, key=key)

    def __call__(self, observation: Float[Array, "*batch observation"]) -> Float[Array, "*batch"]:
        """One value per observation."""
        return self.mlp(observation)[..., 0]
