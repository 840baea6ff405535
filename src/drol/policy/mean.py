"""Gaussian and deterministic policies: behaviour cloning, IQL, ReBRAC."""

from typing import Any, Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.gaussian import MeanActor
from drol.ops.bellman import Aggregation
from drol.policy.checks import check_choice, check_number
from drol.policy.contract import PolicyKind
from drol.policy.sampled import Actions, Latents, SampledPolicy, describe, described, widths
from drol.types import Key, Spec

Bound = Literal["clip", "tanh"]
BOUNDS: tuple[str, ...] = get_args(Bound)


class MeanPolicy(SampledPolicy):
    """A mean mu(s), or its tanh, and Gaussian noise around it. See `SampledPolicy` for kinds.

    centre: the mean alone, clipped: how these policies are evaluated.
    one: the mean plus `std` times a normal draw, which `noise_limit` cuts off, clipped: how they explore.
    """

    actor: MeanActor
    critic: CriticEnsemble | None
    kind: PolicyKind = eqx.field(static=True, default="centre")
    bound: Bound = eqx.field(static=True, default="clip")
    std: float = eqx.field(static=True, default=1.0)
    noise_limit: float | None = eqx.field(static=True, default=None)
    num_samples: int = eqx.field(static=True, default=32)
    dense_topk: int = eqx.field(static=True, default=8)
    q_agg: Aggregation = eqx.field(static=True, default="mean")

    def __check_init__(self):
        check_choice("bound", self.bound, BOUNDS)
        check_number("std", self.std)
        if self.noise_limit is not None:
            check_number("noise_limit", self.noise_limit)

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        mean, noise = self.actor(observation), float(self.std) * latents
        if self.bound == "tanh":
            mean = jnp.tanh(mean)
        if self.noise_limit is not None:
            limit = float(self.noise_limit)
            noise = jnp.clip(noise, -limit, limit)
        return clip_action(mean + noise)

    @property
    def spec(self) -> Spec:
        layers = self.actor.mlp.layers
        return Spec(layers[0].weight.shape[-2], layers[-1].weight.shape[-1])

    def config(self) -> dict[str, Any]:
        return {
            **describe(self.spec, self.critic),
            "actor_hidden": widths(self.actor.mlp),
            "bound": self.bound,
            "std": self.std,
            "noise_limit": self.noise_limit,
            **self.choosing(),
        }

    @classmethod
    def build(cls, options: dict[str, Any], *, key: Key) -> "MeanPolicy":
        spec, critic = described(options, key=key)
        actor = MeanActor(spec, options.pop("actor_hidden"), key=key)
        return cls(actor=actor, critic=critic, **options)
