"""The policy of ReFORM: a one-step actor on latents that a flow has carried through the latent ball."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, steered_latents
from drol.numerics import draw_type
from drol.ops.bellman import Aggregation
from drol.ops.latent import default_radius, sample_ball
from drol.policy.checks import MOST_STEPS, check_count
from drol.policy.contract import PolicyKind
from drol.policy.latent import one_step_actions
from drol.policy.sampled import Actions, Latents, SampledPolicy, describe, described, widths
from drol.types import Key, Spec


class SteeredPolicy(SampledPolicy):
    """mu(s, w(s, z)): `flow_steps` reflected steps of w from a latent uniform in the ball, then one pass of mu.

    See `SampledPolicy` for kinds.
    """

    actor: LatentActor
    generator: VectorField
    critic: CriticEnsemble | None
    kind: PolicyKind = eqx.field(static=True, default="one")
    flow_steps: int = eqx.field(static=True, default=10)
    num_samples: int = eqx.field(static=True, default=32)
    dense_topk: int = eqx.field(static=True, default=8)
    q_agg: Aggregation = eqx.field(static=True, default="mean")

    def __check_init__(self):
        check_count("flow_steps", self.flow_steps, MOST_STEPS)

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        dim = self.spec.action_dim
        return sample_ball(key, shape, dim, default_radius(dim), draw_type(self.actor))

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        steered = steered_latents(self.generator, observation, latents, self.flow_steps)
        return one_step_actions(self.actor, observation, steered)

    @property
    def spec(self) -> Spec:
        return self.generator.spec

    def config(self) -> dict[str, Any]:
        return {
            **describe(self.spec, self.critic),
            "actor_hidden": widths(self.actor.mlp),
            "generator_hidden": widths(self.generator.mlp),
            "flow_steps": self.flow_steps,
            **self.choosing(),
        }

    @classmethod
    def build(cls, options: dict[str, Any], *, key: Key) -> "SteeredPolicy":
        spec, critic = described(options, key=key)
        actor = LatentActor(spec, options.pop("actor_hidden"), key=key)
        generator = VectorField(spec, options.pop("generator_hidden"), key=key)
        return cls(actor=actor, generator=generator, critic=critic, **options)
