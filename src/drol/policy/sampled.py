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
from drol.policy.checks import MOST_NUMBERS, check_count
from drol.policy.choice import PolicyKind
from drol.policy.contract import Policy
from drol.types import Key, Spec

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

    An action may be a plan of `chunk` steps, of which the first `replan` are executed (all by default).

    Raises:
        ValueError: if the choice needs a critic and there is none, or the action cannot be divided into `chunk` steps.
    """

    critic: eqx.AbstractVar[CriticEnsemble | None]
    # Not written if they are the defaults: earlier versions have no chunks.
    chunk: int = eqx.field(static=True, default=1, kw_only=True, metadata={"unwritten": 1})
    replan: int | None = eqx.field(static=True, default=None, kw_only=True, metadata={"unwritten": None})

    @property
    @abc.abstractmethod
    def flat(self) -> Spec:
        """The dimensions of the networks: those of `spec`, with a whole plan as one action."""

    @property
    def spec(self) -> Spec:
        flat = self.flat
        return Spec(flat.observation_dim, flat.action_dim // self.chunk, self.chunk)

    @property
    def executed(self) -> int:
        return self.chunk if self.replan is None else self.replan

    def in_chunks(self, chunk: int, replan: int | None = None) -> "SampledPolicy":
        return dataclasses.replace(self, chunk=chunk, replan=replan)

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        """Independent latents, (*shape, action): standard normal, unless the policy has another prior."""
        return jax.random.normal(key, (*shape, self.flat.action_dim), draw_type(self))

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
        check_count("chunk", self.chunk, MOST_NUMBERS)
        if self.replan is not None and self.chunk == 1 and self.replan != 1:
            raise ValueError(f"this policy plans single actions, so it cannot execute {self.replan!r} of a plan")
        if self.replan is not None:
            check_count("replan", self.replan, self.chunk)
        if self.chunk > 1 and self.flat.action_dim % self.chunk:
            raise ValueError(f"{self.flat.action_dim} numbers cannot be divided into {self.chunk} actions")

    def with_kind(self, kind: PolicyKind) -> "SampledPolicy":
        return dataclasses.replace(self, choice=dataclasses.replace(self.choice, how=kind))

    def noise(self, *, key: Key) -> Latents:
        if self.choice.how == "centre":
            return jnp.zeros(self.flat.action_dim, draw_type(self))
        return self.draw((self.choice.num_samples,) if self.choice.needs_critic else (), key=key)

    def act(self, observation: Float[Array, " observation"], noise: Latents) -> Float[Array, " action"]:
        samples, choice = self.sample(observation, noise), self.choice
        if not choice.needs_critic:
            return samples
        if choice.how == "dense":
            squared = jnp.sum((samples[:, None] - samples[None]) ** 2, axis=-1)
            isolation = jnp.sum(squared, axis=-1) / max(choice.num_samples - 1, 1)
            samples = samples[jnp.argsort(isolation)[: choice.dense_topk]]
        return samples[jnp.argmax(aggregate(self.q_values(observation, samples), choice.q_agg, choice.rho))]
