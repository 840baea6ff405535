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
        action = self.units.action_outward(self.policy.act(self.units.observation_inward(observation), noise))
        # Rounding must not push actions out of bounds.
        return jnp.clip(action, self.units.action_low, self.units.action_high)

    def with_kind(self, kind: PolicyKind) -> "PolicyInUnits":
        return dataclasses.replace(self, policy=self.policy.with_kind(kind))

    @property
    def choice(self) -> Choice:  # pyright: ignore[reportIncompatibleVariableOverride]  (an AbstractVar)
        """The choice of the policy inside."""
        return self.policy.choice

    @property
    def spec(self) -> Spec:
        return self.policy.spec


def in_units(policy: Policy, units: Units | None) -> Policy:
    """The policy in the user's units if the data were rescaled, otherwise the policy itself."""
    if units is None:
        return policy
    if not isinstance(units.action_low, jax.Array) and not isinstance(units.action_high, jax.Array):
        low, high = inward(units.action_low, units.action_high)
        units = dataclasses.replace(units, action_low=low, action_high=high)
    # `choice` is an AbstractVar of the base, not an argument.
    return PolicyInUnits(policy=policy, units=jax.tree.map(jnp.asarray, units))  # pyright: ignore[reportCallIssue]
