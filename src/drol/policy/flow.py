"""Policies that integrate a flow, in full (flow BC and its kin) or in a few shortcut steps (SORL)."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions, shortcut_actions
from drol.ops.bellman import Aggregation
from drol.policy.checks import MOST_STEPS, check_count
from drol.policy.contract import PolicyKind
from drol.policy.sampled import Actions, Latents, SampledPolicy, describe, described, widths
from drol.types import Key, Spec


class FlowPolicy(SampledPolicy):
    """`flow_steps` of Euler's method from a standard normal latent, clipped. See `SampledPolicy` for kinds.

    A refiner, where there is one, adds its correction g(s, a) to the clipped result (DeFlow).
    """

    flow: VectorField
    refiner: VectorField | None
    critic: CriticEnsemble | None
    kind: PolicyKind = eqx.field(static=True, default="one")
    flow_steps: int = eqx.field(static=True, default=10)
    num_samples: int = eqx.field(static=True, default=32)
    dense_topk: int = eqx.field(static=True, default=8)
    q_agg: Aggregation = eqx.field(static=True, default="mean")

    def __check_init__(self):
        check_count("flow_steps", self.flow_steps, MOST_STEPS)

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        actions = flow_actions(self.flow, observation, latents, self.flow_steps)
        return actions if self.refiner is None else clip_action(actions + self.refiner.at(observation)(actions))

    @property
    def spec(self) -> Spec:
        return self.flow.spec

    def config(self) -> dict[str, Any]:
        return {
            **describe(self.spec, self.critic),
            "flow_hidden": widths(self.flow.mlp),
            "refiner_hidden": self.refiner and widths(self.refiner.mlp),
            "flow_steps": self.flow_steps,
            **self.choosing(),
        }

    @classmethod
    def build(cls, options: dict[str, Any], *, key: Key) -> "FlowPolicy":
        spec, critic = described(options, key=key)
        flow, hidden = VectorField(spec, options.pop("flow_hidden"), key=key), options.pop("refiner_hidden")
        refiner = None if hidden is None else VectorField(spec, hidden, conditions=0, key=key)
        return cls(flow=flow, refiner=refiner, critic=critic, **options)


STEPS = (1, 2, 4, 8)
"""In how many steps a shortcut model can act."""


class ShortcutPolicy(SampledPolicy):
    """A shortcut model in `steps` steps, with a critic that knows their number (SORL). See `SampledPolicy` for kinds.

    Its field takes the time and the level log2(steps); its critic takes the number of steps.
    """

    actor: VectorField
    critic: CriticEnsemble | None
    kind: PolicyKind = eqx.field(static=True, default="one")
    steps: int = eqx.field(static=True, default=1)
    num_samples: int = eqx.field(static=True, default=32)
    dense_topk: int = eqx.field(static=True, default=8)
    q_agg: Aggregation = eqx.field(static=True, default="mean")

    def __check_init__(self):
        if isinstance(self.steps, bool) or self.steps not in STEPS:
            raise ValueError(f"steps must be one of 1, 2, 4 and 8, found {self.steps!r}")

    def sample(self, observation: Float[Array, " observation"], latents: Latents) -> Actions:
        return shortcut_actions(self.actor, observation, latents, self.steps)

    def critic_conditions(self) -> tuple[Float[Array, ""], ...]:
        return (jnp.asarray(float(self.steps)),)

    @property
    def spec(self) -> Spec:
        task = self.actor.spec
        return Spec(task.observation_dim - 1, task.action_dim)

    def config(self) -> dict[str, Any]:
        return {
            **describe(self.spec, self.critic),
            "actor_hidden": widths(self.actor.mlp),
            "steps": self.steps,
            **self.choosing(),
        }

    @classmethod
    def build(cls, options: dict[str, Any], *, key: Key) -> "ShortcutPolicy":
        spec, critic = described(options, conditions=1, key=key)
        actor = VectorField(spec, options.pop("actor_hidden"), conditions=2, key=key)
        return cls(actor=actor, critic=critic, **options)
