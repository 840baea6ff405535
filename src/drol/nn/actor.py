"""The latent-conditioned one-step actor pi_theta(s, z) (section 3.1)."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.mlp import MLP
from drol.types import Key, Spec


def clip_action(action: Float[Array, "*batch action"]) -> Float[Array, "*batch action"]:
    """Clip to the action box [-1, 1]; the gradient is zero where it saturates."""
    return jnp.clip(action, -1.0, 1.0)


class LatentActor(eqx.Module):
    """a = clip(pi_theta(s, z), -1, 1), with an MLP on concat(s, z): linear output, no layer norm.

    The latent has the dimension of the action.
    """

    mlp: MLP

    def __init__(self, spec: Spec, hidden: Sequence[int], *, key: Key):
        self.mlp = MLP(spec.observation_dim + spec.plan_dim, hidden, spec.plan_dim, layer_norm=False, key=key)

    def __call__(
        self, observation: Float[Array, "*batch observation"], latent: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch action"]:
        """One action per observation and latent. Source: eq. 6."""
        return clip_action(self.unclipped(observation, latent))

    def unclipped(
        self, observation: Float[Array, "*batch observation"], latent: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch action"]:
        """pi_theta(s, z) before the clip, for losses that must reach beyond the bounds."""
        return self.mlp(jnp.concatenate([observation, latent], axis=-1))

    def candidates(
        self,
        observation: Float[Array, "*batch observation"],
        latents: Float[Array, "*batch num_candidates action"],
    ) -> Float[Array, "*batch num_candidates action"]:
        """The candidate set C(s): one action per latent of each observation. Source: eq. 4, eq. 5.

        The observation's share of the first layer is computed once per state, not once per candidate.
        """
        first = self.mlp.layers[0]
        observation_dim = observation.shape[-1]
        shared = observation @ first.weight[:observation_dim] + first.bias
        return clip_action(self.mlp.after_first(shared[..., None, :] + latents @ first.weight[observation_dim:]))
