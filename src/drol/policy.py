"""Policies: what acts after training, and what a policy file stores."""

import abc
import dataclasses
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.ops.bellman import Aggregation, aggregate
from drol.ops.latent import default_radius, sample_ball
from drol.types import Key, Spec, Units

PolicyKind = Literal["one", "centre", "best-of-n", "dense"]
POLICY_KINDS: tuple[str, ...] = get_args(PolicyKind)


class Policy(eqx.Module):
    """A function from one observation to one action; use `jax.vmap` for a batch."""

    def __call__(self, observation: Float[Array, " observation"], *, key: Key) -> Float[Array, " action"]:
        """Choose an action: `act` on the draws of `noise`."""
        return self.act(observation, self.noise(key=key))

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


class LatentPolicy(Policy):
    """A latent-conditioned one-step actor (eq. 6), and the optional ways of choosing among its samples.

    Kinds:
        one: one latent, one forward pass (the paper's policy).
        centre: the latent z = 0, deterministic.
        best-of-n: the sample with the highest Q among `num_samples`.
        dense: keep the `dense_topk` samples with the smallest mean squared distance to the others, then the highest Q.

    Raises:
        ValueError: for an unknown kind, a kind that needs a critic where there is none, or sizes that do not fit.
    """

    actor: LatentActor
    critic: CriticEnsemble | None
    kind: PolicyKind = eqx.field(static=True, default="one")
    latent_radius: float | None = eqx.field(static=True, default=None)
    num_samples: int = eqx.field(static=True, default=32)
    dense_topk: int = eqx.field(static=True, default=8)
    q_agg: Aggregation = eqx.field(static=True, default="mean")

    def __check_init__(self):
        if self.kind not in POLICY_KINDS:
            raise ValueError(f"policy kind must be one of {', '.join(POLICY_KINDS)}, found {self.kind!r}")
        if self.kind in ("best-of-n", "dense") and self.critic is None:
            raise ValueError(f"policy kind {self.kind!r} ranks samples by Q, and this policy holds no critic")
        if not 1 <= self.dense_topk <= self.num_samples:
            raise ValueError(
                f"dense_topk must lie between 1 and num_samples, found {self.dense_topk} and {self.num_samples}"
            )

    def with_kind(self, kind: PolicyKind) -> "LatentPolicy":
        return dataclasses.replace(self, kind=kind)

    def noise(self, *, key: Key) -> Float[Array, "*num_samples action"]:
        dim = self.spec.action_dim
        if self.kind == "centre":
            return jnp.zeros(dim)
        radius = default_radius(dim) if self.latent_radius is None else self.latent_radius
        return sample_ball(key, () if self.kind == "one" else (self.num_samples,), dim, radius)

    def act(
        self, observation: Float[Array, " observation"], noise: Float[Array, "*num_samples action"]
    ) -> Float[Array, " action"]:
        if self.kind in ("one", "centre"):
            return self.actor(observation, noise)
        return self._choose(observation, self.actor.candidates(observation, noise))

    def _choose(
        self, observation: Float[Array, " observation"], samples: Float[Array, "num_samples action"]
    ) -> Float[Array, " action"]:
        assert self.critic is not None
        if self.kind == "dense":
            squared = jnp.sum((samples[:, None] - samples[None]) ** 2, axis=-1)
            isolation = jnp.sum(squared, axis=-1) / max(self.num_samples - 1, 1)
            samples = samples[jnp.argsort(isolation)[: self.dense_topk]]
        observations = jnp.broadcast_to(observation, (samples.shape[0], *observation.shape))
        return samples[jnp.argmax(aggregate(self.critic(observations, samples), self.q_agg))]

    @property
    def spec(self) -> Spec:
        layers = self.actor.mlp.layers
        action_dim = layers[-1].weight.shape[-1]
        return Spec(layers[0].weight.shape[-2] - action_dim, action_dim)

    def config(self) -> dict[str, Any]:
        critic = self.critic
        return {
            "observation_dim": self.spec.observation_dim,
            "action_dim": self.spec.action_dim,
            "actor_hidden": [layer.weight.shape[-1] for layer in self.actor.mlp.layers[:-1]],
            "critic_hidden": critic and [layer.weight.shape[-1] for layer in critic.members.layers[:-1]],
            "critic_ensemble": critic and critic.members.layers[0].weight.shape[0],
            "kind": self.kind,
            "latent_radius": self.latent_radius,
            "num_samples": self.num_samples,
            "dense_topk": self.dense_topk,
            "q_agg": self.q_agg,
        }

    @classmethod
    def empty(cls, config: dict[str, Any]) -> "LatentPolicy":
        options = dict(config)
        spec = Spec(options.pop("observation_dim"), options.pop("action_dim"))
        actor_hidden, critic_hidden = options.pop("actor_hidden"), options.pop("critic_hidden")
        ensemble = options.pop("critic_ensemble")

        def build(key: Key) -> "LatentPolicy":
            actor = LatentActor(spec, actor_hidden, key=key)
            critic = CriticEnsemble(spec, critic_hidden, ensemble=ensemble, key=key) if critic_hidden else None
            return cls(actor, critic, **options)

        return eqx.filter_eval_shape(build, jax.random.key(0))


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


POLICIES: dict[str, type[Policy]] = {"latent": LatentPolicy, "in-units": PolicyInUnits}
"""What policy files call each class."""


def kind_of(policy: Policy) -> str:
    """What policy files call the policy's class."""
    return next(name for name, cls in POLICIES.items() if type(policy) is cls)


def in_units(policy: Policy, units: Units | None) -> Policy:
    """The policy in the user's units, for data that were rescaled; the policy itself where nothing was."""
    return policy if units is None else PolicyInUnits(policy, jax.tree.map(jnp.asarray, units))
