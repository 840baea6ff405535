"""Conditional vector fields: the networks of flow policies."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.nn.actor import LatentActor, clip_action
from drol.nn.mlp import MLP
from drol.ops.flow import euler, reflected_euler
from drol.ops.latent import default_radius
from drol.types import Key, Spec

Points = Float[Array, "*samples action"]
Condition = Float[Array, "*batch 1"] | Float[Array, ""] | float


class VectorField(eqx.Module):
    """v(s, x, c_1, ..., c_n): an MLP on concat(s, x, c), linear output, no layer norm.

    x has the dimension of the action. The conditions are scalars that are appended unchanged: the time of a flow, the
    step size of a shortcut model, or none.
    """

    mlp: MLP

    def __init__(self, spec: Spec, hidden: Sequence[int], *, conditions: int = 1, key: Key):
        """Build the network.

        Args:
            spec: the task's dimensions.
            hidden: widths of the hidden layers.
            conditions: number of scalar inputs that follow x.
            key: random key of the weights.
        """
        fan_in = spec.observation_dim + spec.plan_dim + conditions
        self.mlp = MLP(fan_in, hidden, spec.plan_dim, layer_norm=False, key=key)

    def __call__(self, observation: Float[Array, "*batch observation"], x: Points, *conditions: Condition) -> Points:
        """One vector per observation, point and conditions."""
        columns = [jnp.broadcast_to(c, (*x.shape[:-1], 1)) for c in conditions]
        return self.mlp(jnp.concatenate([observation, x, *columns], axis=-1))

    def at(self, observation: Float[Array, "*batch observation"]) -> Callable[..., Points]:
        """x, c_1, ..., c_n -> v(s, x, c) for a fixed s, whose share of the first layer is computed once."""
        first = self.mlp.layers[0]
        before, point = observation.shape[-1], self.mlp.layers[-1].weight.shape[-1]
        of_observation, of_point, of_conditions = jnp.split(first.weight, [before, before + point])
        shared = observation @ of_observation + first.bias

        def velocity(x: Points, *conditions: Condition) -> Points:
            conditioned = (c * row for c, row in zip(conditions, of_conditions, strict=True))
            return self.mlp.after_first(sum(conditioned, shared + x @ of_point))

        return velocity

    @property
    def spec(self) -> Spec:
        """The dimensions of s and x, for a field whose only condition is the time."""
        fan_in, action_dim = self.mlp.layers[0].weight.shape[-2], self.mlp.layers[-1].weight.shape[-1]
        return Spec(fan_in - action_dim - 1, action_dim)


def one_step_actor(field: VectorField, time: float) -> LatentActor:
    """x -> v(s, x, time) as a one-step actor: the constant time is folded into the first layer's bias."""
    first, *others = field.mlp.layers
    parts = (first.weight[:-1], first.bias + time * first.weight[-1])
    folded = eqx.tree_at(lambda layer: (layer.weight, layer.bias), first, parts)
    mlp = eqx.tree_at(lambda m: m.layers, field.mlp, (folded, *others))
    hidden = [layer.bias.shape[-1] for layer in field.mlp.layers[:-1]]
    shapes = eqx.filter_eval_shape(LatentActor, field.spec, hidden, key=jax.random.key(0))
    return eqx.tree_at(lambda actor: actor.mlp, shapes, mlp)


def flow_actions(
    field: VectorField, observation: Float[Array, "*batch observation"], latents: Points, steps: int
) -> Points:
    """The flow's actions: `steps` Euler steps from the latents, clipped at the end."""
    return clip_action(euler(field.at(observation), latents, steps))


def steered_latents(
    field: VectorField, observation: Float[Array, "*batch observation"], latents: Points, steps: int
) -> Points:
    """Latents carried by a flow that is reflected at the surface of the latent ball (radius sqrt(d)).

    Source: ReFORM (Zhang et al. 2026).
    """
    return reflected_euler(field.at(observation), latents, steps, default_radius(latents.shape[-1]))


def shortcut_actions(
    field: VectorField, observation: Float[Array, "*batch observation"], latents: Points, steps: int
) -> Points:
    """The actions of a shortcut model in `steps` steps; its field is conditioned on the level log2(steps).

    Source: shortcut models (Frans et al. 2025); SORL (Espinosa-Dice et al. 2025).
    """
    velocity, level = field.at(observation), math.log2(steps)
    return clip_action(euler(lambda x, t: velocity(x, t, level), latents, steps))
