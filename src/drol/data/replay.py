"""The data set on the device, sampled inside the compiled loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from drol.data.episodes import Transitions
from drol.types import Batch, Key, Spec


class ReplayData(eqx.Module):
    """`Transitions` as device arrays. A format: see `Transitions` for the fields."""

    observations: Float[Array, "states observation"]
    actions: Float[Array, "transitions action"]
    rewards: Float[Array, " transitions"]
    masks: Float[Array, " transitions"]
    index: Int[Array, " transitions"]
    next_index: Int[Array, " transitions"]
    next_action_index: Int[Array, " transitions"]

    @classmethod
    def from_transitions(cls, data: Transitions) -> "ReplayData":
        """Copy a data set to the default device."""
        names = ("observations", "actions", "rewards", "masks", "index", "next_index", "next_action_index")
        return cls(**{name: jnp.asarray(getattr(data, name)) for name in names})

    @property
    def size(self) -> int:
        """The number of transitions."""
        return self.actions.shape[0]

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1])

    def take(self, numbers: Int[Array, " batch"]) -> Batch:
        """The transitions with these numbers."""
        return Batch(
            observations=self.observations[self.index[numbers]],
            actions=self.actions[numbers],
            rewards=self.rewards[numbers],
            masks=self.masks[numbers],
            next_observations=self.observations[self.next_index[numbers]],
            next_actions=self.actions[self.next_action_index[numbers]],
        )

    @jax.named_scope("sample")
    def sample(self, batch_size: int, *, key: Key) -> Batch:
        """Transitions drawn uniformly with replacement."""
        return self.take(jax.random.randint(key, (batch_size,), 0, self.size))
