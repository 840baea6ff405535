"""Policies that turn a latent into an action, and the ways of choosing among several of those."""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.critic import CriticEnsemble
from drol.nn.mlp import MLP
from drol.numerics import draw_type
from drol.ops.bellman import AGGREGATIONS, Aggregation, aggregate
from drol.policy.checks import (
    MOST_MEMBERS,
    MOST_NUMBERS,
    MOST_SAMPLES,
    check_choice,
    check_count,
    check_widths,
)
from drol.policy.contract import POLICY_KINDS, Policy, PolicyKind
from drol.types import Key, Spec

Latents = Float[Array, "*num_samples action"]
Actions = Float[Array, "*num_samples action"]


class SampledPolicy(Policy):
    """A policy a = pi(s, z) with a latent z of the action's dimension.

    Kinds:
        one: one latent.
        centre: the latent z = 0, deterministic.
        best-of-n: the sample with the highest Q among `num_samples`.
        dense: keep the `dense_topk` samples with the smallest mean squared distance to the others, then the highest Q.

    Raises:
        ValueError: for an unknown kind, a kind that needs a critic where there is none, or sizes that do not fit.
    """

    critic: eqx.AbstractVar[CriticEnsemble | None]
    kind: eqx.AbstractVar[PolicyKind]
    num_samples: eqx.AbstractVar[int]
    dense_topk: eqx.AbstractVar[int]
    q_agg: eqx.AbstractVar[Aggregation]

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        """Independent latents, (*shape, action): standard normal, unless the policy has another prior."""
        return jax.random.normal(key, (*shape, self.spec.action_dim), draw_type(self))

    @abc.abstractmethod
    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        """The action of each latent, in [-1, 1]^d."""

    def critic_conditions(self) -> tuple[Float[Array, ""], ...]:
        """What the critic is told beside state and action."""
        return ()

    def q_values(
        self, observation: Float[Array, " observation"], actions: Float[Array, "num_samples action"]
    ) -> Float[Array, "ensemble num_samples"]:
        """What the critic's members make of each action."""
        assert self.critic is not None
        observations = jnp.broadcast_to(observation, (actions.shape[0], *observation.shape))
        return self.critic(observations, actions, *self.critic_conditions())

    def __check_init__(self):
        check_choice("policy kind", self.kind, POLICY_KINDS)
        check_choice("q_agg", self.q_agg, AGGREGATIONS)
        if self.kind in ("best-of-n", "dense") and self.critic is None:
            raise ValueError(f"policy kind {self.kind!r} ranks samples by Q, and this policy holds no critic")
        check_count("num_samples", self.num_samples, MOST_SAMPLES)
        check_count("dense_topk", self.dense_topk, MOST_SAMPLES)
        if not 1 <= self.dense_topk <= self.num_samples:
            raise ValueError(
                f"dense_topk must lie between 1 and num_samples, found {self.dense_topk} and {self.num_samples}"
            )

    def with_kind(self, kind: PolicyKind) -> "SampledPolicy":
        return dataclasses.replace(self, kind=kind)

    def noise(self, *, key: Key) -> Latents:
        if self.kind == "centre":
            return jnp.zeros(self.spec.action_dim, draw_type(self))
        return self.draw(() if self.kind == "one" else (self.num_samples,), key=key)

    def act(self, observation: Float[Array, " observation"], noise: Latents) -> Float[Array, " action"]:
        samples = self.sample(observation, noise)
        if self.kind in ("one", "centre"):
            return samples
        if self.kind == "dense":
            squared = jnp.sum((samples[:, None] - samples[None]) ** 2, axis=-1)
            isolation = jnp.sum(squared, axis=-1) / max(self.num_samples - 1, 1)
            samples = samples[jnp.argsort(isolation)[: self.dense_topk]]
        return samples[jnp.argmax(aggregate(self.q_values(observation, samples), self.q_agg))]

    @classmethod
    def empty(cls, config: dict[str, Any]) -> "SampledPolicy":
        return eqx.filter_eval_shape(lambda key: cls.build(dict(config), key=key), jax.random.key(0))

    @classmethod
    @abc.abstractmethod
    def build(cls, options: dict[str, Any], *, key: Key) -> "SampledPolicy":
        """A policy with fresh networks from the entries of a `config`, which it may take out of `options`."""

    def choosing(self) -> dict[str, Any]:
        """The part of `config` that says how to choose."""
        return {
            "kind": self.kind,
            "num_samples": self.num_samples,
            "dense_topk": self.dense_topk,
            "q_agg": self.q_agg,
        }


def widths(mlp: MLP) -> list[int]:
    """The hidden widths of a network."""
    return [layer.weight.shape[-1] for layer in mlp.layers[:-1]]


def describe(spec: Spec, critic: CriticEnsemble | None) -> dict[str, Any]:
    """The part of a `config` that gives the task's dimensions and the critic's shape."""
    return {
        "observation_dim": spec.observation_dim,
        "action_dim": spec.action_dim,
        "critic_hidden": critic and widths(critic.members),
        "critic_ensemble": critic and critic.members.layers[0].weight.shape[0],
    }


def described(options: dict[str, Any], *, conditions: int = 0, key: Key) -> tuple[Spec, CriticEnsemble | None]:
    """Take out of `options` what `describe` put there, and build it."""
    observation_dim, action_dim = (options.pop(name) for name in ("observation_dim", "action_dim"))
    check_count("observation_dim", observation_dim, MOST_NUMBERS)
    check_count("action_dim", action_dim, MOST_NUMBERS)
    spec, hidden, ensemble = (
        Spec(observation_dim, action_dim),
        options.pop("critic_hidden"),
        options.pop("critic_ensemble"),
    )
    for name, value in options.items():
        if name.endswith("_hidden") and value is not None:
            check_widths(name, value)
    if hidden is None:
        return spec, None
    check_widths("critic_hidden", hidden)
    check_count("critic_ensemble", ensemble, MOST_MEMBERS)
    return spec, CriticEnsemble(spec, hidden, ensemble=ensemble, conditions=conditions, key=key)
