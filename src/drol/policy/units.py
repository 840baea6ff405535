"""Policies in the user's units."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from drol.policy.choice import Choice, PolicyKind
from drol.policy.contract import Policy
from drol.types import Key, Spec, Units, inward


class PolicyInUnits(Policy):
    """A policy in the user's units: it takes raw observations and returns actions within the user's bounds."""

    policy: Policy
    units: Units

    def noise(self, *, key: Key) -> PyTree[Array]:
        return self.policy.noise(key=key)

    def act(self, observation: Float[Array, " observation"], noise: PyTree[Array]) -> Float[Array, " action"]:
        plan = self.policy.act(self.units.observation_inward(observation), noise)
        actions = self.units.action_outward(plan.reshape(-1, self.spec.action_dim))
        # Rounding must not push actions out of bounds.
        return jnp.clip(actions, self.units.action_low, self.units.action_high).ravel()

    def in_chunks(self, chunk: int, replan: int | None = None) -> "PolicyInUnits":
        return dataclasses.replace(self, policy=self.policy.in_chunks(chunk, replan))

    def with_kind(self, kind: PolicyKind) -> "PolicyInUnits":
        return dataclasses.replace(self, policy=self.policy.with_kind(kind))

    @property
    def choice(self) -> Choice:  # pyright: ignore[reportIncompatibleVariableOverride]  (an AbstractVar)
        """The choice of the policy inside."""
        return self.policy.choice

    @property
    def spec(self) -> Spec:
        return self.policy.spec

    @property
    def executed(self) -> int:
        return self.policy.executed


def in_units(policy: Policy, units: Units | None) -> Policy:
    """The policy in the user's units if the data were rescaled, otherwise the policy itself."""
    if units is None:
        return policy
    if not isinstance(units.action_low, jax.Array) and not isinstance(units.action_high, jax.Array):
        low, high = inward(units.action_low, units.action_high)
        units = dataclasses.replace(units, action_low=low, action_high=high)
    # `choice` is an AbstractVar of the base, not an argument.
    return PolicyInUnits(policy=policy, units=jax.tree.map(jnp.asarray, units))  # pyright: ignore[reportCallIssue]
