"""Policies in the user's units, and what policy files call each class."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from drol.policy.contract import Policy, PolicyKind
from drol.policy.flow import FlowPolicy, ShortcutPolicy
from drol.policy.latent import LatentPolicy
from drol.policy.mean import MeanPolicy
from drol.policy.steered import SteeredPolicy
from drol.types import Key, Spec, Units, inward


class PolicyInUnits(Policy):
    """A policy that sees and speaks the user's units: raw observations in, actions within the user's bounds out."""

    policy: Policy
    units: Units

    def noise(self, *, key: Key) -> PyTree[Array]:
        return self.policy.noise(key=key)

    def act(self, observation: Float[Array, " observation"], noise: PyTree[Array]) -> Float[Array, " action"]:
        action = self.units.action_outward(self.policy.act(self.units.observation_inward(observation), noise))
        # Rounding must not leave the bounds.
        return jnp.clip(action, self.units.action_low, self.units.action_high)

    def with_kind(self, kind: PolicyKind) -> "PolicyInUnits":
        return dataclasses.replace(self, policy=self.policy.with_kind(kind))

    @property
    def spec(self) -> Spec:
        return self.policy.spec

    def config(self) -> dict[str, Any]:
        return {"policy": kind_of(self.policy), **self.policy.config()}

    @classmethod
    def empty(cls, config: dict[str, Any]) -> "PolicyInUnits":
        options = dict(config)
        policy = POLICIES[options.pop("policy")].empty(options)
        units = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), Units.identity(policy.spec))
        return cls(policy, units)


POLICIES: dict[str, type[Policy]] = {
    "latent": LatentPolicy,
    "flow": FlowPolicy,
    "shortcut": ShortcutPolicy,
    "steered": SteeredPolicy,
    "mean": MeanPolicy,
    "in-units": PolicyInUnits,
}
"""What policy files call each class."""


def kind_of(policy: Policy) -> str:
    """What policy files call the policy's class."""
    return next(name for name, cls in POLICIES.items() if type(policy) is cls)


def in_units(policy: Policy, units: Units | None) -> Policy:
    """The policy in the user's units, for data that were rescaled; the policy itself where nothing was."""
    if units is None:
        return policy
    if not isinstance(units.action_low, jax.Array) and not isinstance(units.action_high, jax.Array):
        low, high = inward(units.action_low, units.action_high)
        units = dataclasses.replace(units, action_low=low, action_high=high)
    return PolicyInUnits(policy, jax.tree.map(jnp.asarray, units))
