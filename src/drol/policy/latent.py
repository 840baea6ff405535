"""The one-step policies of DROL and FQL."""

from typing import Any, Literal, get_args

import equinox as eqx
import jax
from jaxtyping import Array, Float

from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.numerics import draw_type
from drol.ops.bellman import Aggregation
from drol.ops.latent import default_radius, sample_ball
from drol.policy.checks import check_choice, check_number
from drol.policy.contract import PolicyKind
from drol.policy.sampled import Actions, Latents, SampledPolicy, describe, described, widths
from drol.types import Key, Spec

Prior = Literal["ball", "normal"]
PRIORS: tuple[str, ...] = get_args(Prior)


def one_step_actions(actor: LatentActor, observation: Float[Array, " observation"], latents: Latents) -> Actions:
    """The action of one latent, or of each of several, in one pass."""
    return actor(observation, latents) if latents.ndim == 1 else actor.candidates(observation, latents)


class LatentPolicy(SampledPolicy):
    """A latent-conditioned one-step actor (eq. 6): `kind` one is the paper's policy. See `SampledPolicy`.

    The prior of its latents is uniform in a ball, as DROL's, or standard normal, as FQL's.
    """

    actor: LatentActor
    critic: CriticEnsemble | None
    kind: PolicyKind = eqx.field(static=True, default="one")
    latent_radius: float | None = eqx.field(static=True, default=None)
    num_samples: int = eqx.field(static=True, default=32)
    dense_topk: int = eqx.field(static=True, default=8)
    q_agg: Aggregation = eqx.field(static=True, default="mean")
    prior: Prior = eqx.field(static=True, default="ball")

    def __check_init__(self):
        check_choice("prior", self.prior, PRIORS)
        if self.latent_radius is not None:
            check_number("latent_radius", self.latent_radius)

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        dim = self.spec.action_dim
        if self.prior == "normal":
            return jax.random.normal(key, (*shape, dim), draw_type(self.actor))
        radius = default_radius(dim) if self.latent_radius is None else self.latent_radius
        return sample_ball(key, shape, dim, radius, draw_type(self.actor))

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        return one_step_actions(self.actor, observation, latents)

    @property
    def spec(self) -> Spec:
        layers = self.actor.mlp.layers
        action_dim = layers[-1].weight.shape[-1]
        return Spec(layers[0].weight.shape[-2] - action_dim, action_dim)

    def config(self) -> dict[str, Any]:
        return {
            **describe(self.spec, self.critic),
            "actor_hidden": widths(self.actor.mlp),
            "latent_radius": self.latent_radius,
            # Left out where files of the first version know nothing else.
            **({} if self.prior == "ball" else {"prior": self.prior}),
            **self.choosing(),
        }

    @classmethod
    def build(cls, options: dict[str, Any], *, key: Key) -> "LatentPolicy":
        spec, critic = described(options, key=key)
        actor = LatentActor(spec, options.pop("actor_hidden"), key=key)
        return cls(actor=actor, critic=critic, **options)
