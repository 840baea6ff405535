"""The contract that every policy fulfils."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from drol.numerics import threefry
from drol.policy.choice import Choice, PolicyKind
from drol.types import Key, Spec


class Policy(eqx.Module):
    """A function from one observation to one action; use `jax.vmap` for a batch."""

    choice: eqx.AbstractVar[Choice]

    def __call__(self, observation: Float[Array, " observation"], *, key: Key) -> Float[Array, " action"]:
        """Choose an action: `act` on the draws of `noise`.

        Raises:
            ValueError: for an observation of the wrong width, or several at once.
        """
        if not isinstance(observation, jax.Array):
            observation = jnp.asarray(observation)
        expected = (self.spec.observation_dim,)
        if observation.shape != expected:
            raise ValueError(
                f"expected one observation of shape {expected}, found {observation.shape}; for a batch use jax.vmap"
            )
        return self.act(observation, self.noise(key=threefry(key)))

    @abc.abstractmethod
    def noise(self, *, key: Key) -> PyTree[Array]:
        """Every random draw of one action."""

    @abc.abstractmethod
    def act(self, observation: Float[Array, " observation"], noise: PyTree[Array]) -> Float[Array, " action"]:
        """The action determined by the draws, in [-1, 1]^d or within the bounds of `PolicyInUnits`."""

    @abc.abstractmethod
    def with_kind(self, kind: PolicyKind) -> "Policy":
        """The same networks with another way of choosing: `kind` becomes `choice.how`."""

    @property
    @abc.abstractmethod
    def spec(self) -> Spec:
        """The dimensions of the task the policy was trained for."""
