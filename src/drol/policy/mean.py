"""Gaussian and deterministic policies: behaviour cloning, IQL, ReBRAC."""

from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.gaussian import MeanActor
from drol.policy.checks import check_choice, check_number
from drol.policy.choice import Choice
from drol.policy.sampled import Actions, Latents, SampledPolicy, network
from drol.types import Spec

Bound = Literal["clip", "tanh"]
BOUNDS: tuple[str, ...] = get_args(Bound)


class MeanPolicy(SampledPolicy):
    """A mean mu(s), or its tanh, and Gaussian noise around it.

    Choosing `centre` takes the mean alone, clipped: this is how these policies are evaluated. `one` adds `std` times a
    normal draw, limited to plus and minus `noise_limit`, and clips the sum: this is how they explore.
    """

    actor: MeanActor = network(MeanActor)
    critic: CriticEnsemble | None = network(CriticEnsemble, optional=True)
    choice: Choice = eqx.field(static=True, default=Choice("centre"))
    bound: Bound = eqx.field(static=True, default="clip")
    std: float = eqx.field(static=True, default=1.0)
    noise_limit: float | None = eqx.field(static=True, default=None)

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
    def flat(self) -> Spec:
        layers = self.actor.mlp.layers
        return Spec(layers[0].weight.shape[-2], layers[-1].weight.shape[-1])
