"""Policies that integrate a flow, in full (flow BC and its relatives) or in a few shortcut steps (SORL)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions, shortcut_actions
from drol.policy.checks import MOST_STEPS, check_count
from drol.policy.choice import Choice
from drol.policy.sampled import Actions, Latents, SampledPolicy, network
from drol.types import Spec


class FlowPolicy(SampledPolicy):
    """`flow_steps` steps of Euler's method from a standard normal latent, then a clip.

    A refiner, if there is one, adds its correction g(s, a) to the clipped result (DeFlow).
    """

    flow: VectorField = network(VectorField)
    refiner: VectorField | None = network(VectorField, optional=True, conditions=0)
    critic: CriticEnsemble | None = network(CriticEnsemble, optional=True)
    choice: Choice = eqx.field(static=True, default=Choice())
    flow_steps: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        check_count("flow_steps", self.flow_steps, MOST_STEPS)

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        actions = flow_actions(self.flow, observation, latents, self.flow_steps)
        return actions if self.refiner is None else clip_action(actions + self.refiner.at(observation)(actions))

    @property
    def flat(self) -> Spec:
        return self.flow.spec


STEPS = (1, 2, 4, 8)
"""The numbers of steps in which a shortcut model can act."""


class ShortcutPolicy(SampledPolicy):
    """A shortcut model in `steps` steps, with a critic conditioned on their number (SORL).

    Its field takes the time and the level log2(steps); its critic takes the number of steps.
    """

    actor: VectorField = network(VectorField, conditions=2)
    critic: CriticEnsemble | None = network(CriticEnsemble, optional=True, conditions=1)
    choice: Choice = eqx.field(static=True, default=Choice())
    steps: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if isinstance(self.steps, bool) or self.steps not in STEPS:
            raise ValueError(f"steps must be one of 1, 2, 4 and 8, found {self.steps!r}")

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        return shortcut_actions(self.actor, observation, latents, self.steps)

    def critic_conditions(self) -> tuple[Float[Array, ""], ...]:
        return (jnp.asarray(float(self.steps)),)

    @property
    def flat(self) -> Spec:
        task = self.actor.spec
        return Spec(task.observation_dim - 1, task.action_dim)
