"""The one-step policies of DROL and FQL."""

from typing import Literal, get_args

import equinox as eqx
import jax
from jaxtyping import Array, Float

from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.numerics import draw_type
from drol.ops.latent import default_radius, sample_ball
from drol.policy.checks import check_choice, check_number
from drol.policy.choice import Choice
from drol.policy.sampled import Actions, Latents, SampledPolicy, network
from drol.types import Key, Spec

Prior = Literal["ball", "normal"]
PRIORS: tuple[str, ...] = get_args(Prior)


def one_step_actions(actor: LatentActor, observation: Float[Array, " observation"], latents: Latents) -> Actions:
    """The action of one latent, or of each of several, in one pass."""
    return actor(observation, latents) if latents.ndim == 1 else actor.candidates(observation, latents)


class LatentPolicy(SampledPolicy):
    """A latent-conditioned one-step actor (eq. 6); choosing `one` is the paper's policy.

    The prior of its latents is uniform in a ball (DROL) or standard normal (FQL).
    """

    actor: LatentActor = network(LatentActor)
    critic: CriticEnsemble | None = network(CriticEnsemble, optional=True)
    choice: Choice = eqx.field(static=True, default=Choice())
    latent_radius: float | None = eqx.field(static=True, default=None)
    # Not written if it is the default: the first files of version 1 had no other prior.
    prior: Prior = eqx.field(static=True, default="ball", metadata={"unwritten": "ball"})

    def __check_init__(self):
        check_choice("prior", self.prior, PRIORS)
        if self.latent_radius is not None:
            check_number("latent_radius", self.latent_radius)

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        dim = self.flat.action_dim
        if self.prior == "normal":
            return jax.random.normal(key, (*shape, dim), draw_type(self.actor))
        radius = default_radius(dim) if self.latent_radius is None else self.latent_radius
        return sample_ball(key, shape, dim, radius, draw_type(self.actor))

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        return one_step_actions(self.actor, observation, latents)

    @property
    def flat(self) -> Spec:
        layers = self.actor.mlp.layers
        action_dim = layers[-1].weight.shape[-1]
        return Spec(layers[0].weight.shape[-2] - action_dim, action_dim)
