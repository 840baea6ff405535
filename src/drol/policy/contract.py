"""What every policy is."""

import abc
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from drol.numerics import threefry
from drol.types import Key, Spec

PolicyKind = Literal["one", "centre", "best-of-n", "dense"]
POLICY_KINDS: tuple[str, ...] = get_args(PolicyKind)


class Policy(eqx.Module):
    """A function from one observation to one action; use `jax.vmap` for a batch."""

    def __call__(self, observation: Float[Array, " observation"], *, key: Key) -> Float[Array, " action"]:
        """Choose an action: `act` on the draws of `noise`.

        Raises:
            ValueError: for an observation of another width, or several at once.
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
        """The action that the draws decide, in [-1, 1]^d, or within the bounds of `PolicyInUnits`."""

    @abc.abstractmethod
    def with_kind(self, kind: PolicyKind) -> "Policy":
        """The same networks, acting in another way."""

    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """What rebuilds the policy's structure, as JSON values; see `empty`."""

    @classmethod
    @abc.abstractmethod
    def empty(cls, config: dict[str, Any]) -> "Policy":
        """The policy that `config` describes, with shapes in place of arrays."""

    @property
    @abc.abstractmethod
    def spec(self) -> Spec:
        """The dimensions of the task the policy was trained for."""
