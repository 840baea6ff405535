"""The contract that every policy fulfils."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from drol.numerics import threefry
from drol.policy.choice import Choice, PolicyKind
from drol.types import Key, Spec


def planning(policy: "Policy", chunk: int, replan: int | None = None) -> "Policy":
    """The policy of an algorithm that was trained on chunks, see `Policy.in_chunks`; for chunk = 1 as it is."""
    return policy if chunk == 1 else policy.in_chunks(chunk, replan)


def exploring(policy: "Policy") -> "Policy":
    """The policy as it gathers experience: one that is judged at its centre draws its actions instead."""
    return policy.with_kind("one") if policy.choice.how == "centre" else policy


class Policy(eqx.Module):
    """A function from one observation to a plan of h actions, for most policies just one; use `jax.vmap` for a batch.

    A policy is pure: it keeps no plan. `drol.evaluate` and loaded policies execute the first `replan` actions of a plan
    before they ask for the next one.
    """

    choice: eqx.AbstractVar[Choice]

    def __call__(self, observation: Float[Array, " observation"], *, key: Key) -> Float[Array, " action"]:
        """Choose an action: the first of `plan`.

        Raises:
            ValueError: for an observation of the wrong width, or several at once.
        """
        plan = self._acted(observation, key)
        return plan if self.spec.chunk == 1 else plan[: self.spec.action_dim]

    def plan(self, observation: Float[Array, " observation"], *, key: Key) -> Float[Array, "chunk action"]:
        """Choose the next h actions, in the order in which they are to be executed.

        Raises:
            ValueError: for an observation of the wrong width, or several at once.
        """
        return self._acted(observation, key).reshape(self.spec.chunk, self.spec.action_dim)

    def _acted(self, observation: Float[Array, " observation"], key: Key) -> Float[Array, " plan"]:
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
        """Every random draw of one plan."""

    @abc.abstractmethod
    def act(self, observation: Float[Array, " observation"], noise: PyTree[Array]) -> Float[Array, " plan"]:
        """The h d numbers of the plan determined by the draws, in [-1, 1] or within the bounds of `PolicyInUnits`."""

    @abc.abstractmethod
    def with_kind(self, kind: PolicyKind) -> "Policy":
        """The same networks with another way of choosing: `kind` becomes `choice.how`."""

    def in_chunks(self, chunk: int, replan: int | None = None) -> "Policy":
        """The same networks, whose numbers are read as a plan of `chunk` actions.

        Args:
            chunk: h.
            replan: how many actions of a plan are executed before the next one is made; all by default.

        Raises:
            ValueError: if the numbers cannot be divided so, `replan` is not between 1 and `chunk`, or policies of this
                class plan single actions only.
        """
        if chunk != 1:
            raise ValueError(f"{type(self).__name__} plans single actions only, so it cannot plan {chunk}")
        return self

    @property
    @abc.abstractmethod
    def spec(self) -> Spec:
        """The dimensions of the task the policy was trained for, and the actions of a plan."""

    @property
    def executed(self) -> int:
        """How many actions of a plan are executed before the next one is made."""
        return self.spec.chunk
