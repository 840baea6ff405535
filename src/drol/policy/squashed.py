"""The policy of soft actor-critic."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.critic import CriticEnsemble
from drol.nn.squashed import SquashedActor
from drol.policy.choice import Choice
from drol.policy.sampled import Actions, Latents, SampledPolicy, network
from drol.types import Spec


class SquashedPolicy(SampledPolicy):
    """tanh of a Gaussian. Choosing `centre` takes the tanh of its mean, as in evaluations; `one` draws: it explores."""

    actor: SquashedActor = network(SquashedActor)
    critic: CriticEnsemble | None = network(CriticEnsemble, optional=True)
    choice: Choice = eqx.field(static=True, default=Choice("centre"))

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        mean, log_std = self.actor(observation)
        return jnp.tanh(mean + jnp.exp(log_std) * latents)

    @property
    def flat(self) -> Spec:
        layers = self.actor.mlp.layers
        return Spec(layers[0].weight.shape[-2], layers[-1].weight.shape[-1] // 2)
