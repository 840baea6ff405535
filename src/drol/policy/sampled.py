"""Policies that turn latents into actions and may choose among several."""

import abc
import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.critic import CriticEnsemble
from drol.numerics import draw_type
from drol.ops.bellman import aggregate
from drol.policy.choice import PolicyKind
from drol.policy.contract import Policy
from drol.types import Key

Latents = Float[Array, "*num_samples action"]
Actions = Float[Array, "*num_samples action"]


def network(cls: type[eqx.Module], *, optional: bool = False, **options: int) -> Any:
    """A field that holds a network; policy files store its hidden widths.

    Args:
        cls: the network's class.
        optional: whether it may be None.
        options: options of its constructor, such as `conditions`.
    """
    return eqx.field(metadata={"network": functools.partial(cls, **options), "optional": optional})


class SampledPolicy(Policy):
    """A policy a = pi(s, z) with a latent z of the action's dimension; see `Choice` for how it chooses.

    Raises:
        ValueError: if the choice needs a critic and there is none.
    """

    critic: eqx.AbstractVar[CriticEnsemble | None]

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        """Independent latents, (*shape, action): standard normal, unless the policy has another prior."""
        return jax.random.normal(key, (*shape, self.spec.action_dim), draw_type(self))

    @abc.abstractmethod
    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        """The action of each latent, in [-1, 1]^d."""

    def critic_conditions(self) -> tuple[Float[Array, ""], ...]:
        """What the critic takes in addition to state and action."""
        return ()

    def q_values(
        self, observation: Float[Array, " observation"], actions: Float[Array, "num_samples action"]
    ) -> Float[Array, "ensemble num_samples"]:
        """Every critic member's value of each action."""
        assert self.critic is not None
        observations = jnp.broadcast_to(observation, (actions.shape[0], *observation.shape))
        return self.critic(observations, actions, *self.critic_conditions())

    def __check_init__(self):
        if self.choice.needs_critic and self.critic is None:
            raise ValueError(f"policy kind {self.choice.how!r} ranks samples by Q, but this policy has no critic")

    def with_kind(self, kind: PolicyKind) -> "SampledPolicy":
        return dataclasses.replace(self, choice=dataclasses.replace(self.choice, how=kind))

    def noise(self, *, key: Key) -> Latents:
        if self.choice.how == "centre":
            return jnp.zeros(self.spec.action_dim, draw_type(self))
        return self.draw((self.choice.num_samples,) if self.choice.needs_critic else (), key=key)

    def act(self, observation: Float[Array, " observation"], noise: Latents) -> Float[Array, " action"]:
        samples, choice = self.sample(observation, noise), self.choice
        if not choice.needs_critic:
            return samples
        if choice.how == "dense":
            squared = jnp.sum((samples[:, None] - samples[None]) ** 2, axis=-1)
            isolation = jnp.sum(squared, axis=-1) / max(choice.num_samples - 1, 1)
            samples = samples[jnp.argsort(isolation)[: choice.dense_topk]]
        return samples[jnp.argmax(aggregate(self.q_values(observation, samples), choice.q_agg))]
