"""The policy of ReFORM: a one-step actor on latents that a flow has carried through the latent ball."""

import equinox as eqx
from jaxtyping import Array, Float

from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, steered_latents
from drol.numerics import draw_type
from drol.ops.latent import default_radius, sample_ball
from drol.policy.checks import MOST_STEPS, check_count
from drol.policy.choice import Choice
from drol.policy.latent import one_step_actions
from drol.policy.sampled import Actions, Latents, SampledPolicy, network
from drol.types import Key, Spec


class SteeredPolicy(SampledPolicy):
    """mu(s, w(s, z)): `flow_steps` reflected steps of w from a latent uniform in the ball, then one pass of mu."""

    actor: LatentActor = network(LatentActor)
    generator: VectorField = network(VectorField)
    critic: CriticEnsemble | None = network(CriticEnsemble, optional=True)
    choice: Choice = eqx.field(static=True, default=Choice())
    flow_steps: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        check_count("flow_steps", self.flow_steps, MOST_STEPS)

    def draw(self, shape: tuple[int, ...], *, key: Key) -> Latents:
        dim = self.flat.action_dim
        return sample_ball(key, shape, dim, default_radius(dim), draw_type(self.actor))

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        steered = steered_latents(self.generator, observation, latents, self.flow_steps)
        return one_step_actions(self.actor, observation, steered)

    @property
    def flat(self) -> Spec:
        return self.generator.spec
