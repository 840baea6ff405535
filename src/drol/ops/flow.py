"""Flow matching along straight lines, and Euler's method, free or reflected at the surface of a ball.

Source: flow matching (Lipman et al. 2023); flow Q-learning (Park et al. 2025), section 4.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.ops.losses import number_mean

Points = Float[Array, "*batch action"]
Times = Float[Array, "*batch 1"]
Velocity = Callable[[Points, Times | float], Points]
"""(x, t) -> dx/dt, for fixed observations."""


def interpolate(start: Points, end: Points, times: Times) -> Points:
    """x_t = (1 - t) x_0 + t x_1."""
    return (1 - times) * start + times * end


def matching_errors(
    velocity: Velocity, start: Points, actions: Points, times: Times, valid: Points | None = None
) -> Float[Array, "*batch"]:
    """|v(x_t, t) - (x_1 - x_0)|^2 / d per row, where x_1 is the data's action.

    Args:
        velocity: that of the flow, at the rows' observations.
        start: x_0, draws of the flow's prior.
        actions: x_1.
        times: t in [0, 1).
        valid: 0 for numbers of the action that do not count; all do by default.
    """
    predicted = velocity(interpolate(start, actions, times), times)
    return number_mean((predicted - (actions - start)) ** 2, valid)


def mean_flow_errors(
    field: Velocity, actions: Points, start: Points, times: Times, *, limit: float, valid: Points | None = None
) -> Float[Array, "*batch"]:
    """|g(x_t, t) - target|^2 / d per row, where g(x, t) = x - u(x, t) and u is the average velocity back to time 0.

    On the line x_t = (1 - t) a + t e with the velocity v = e - a, differentiating t u = x_t - a along the line gives
    u = v - t du/dt, that is g = x_t + (t - 1) v - t dg/dt: the right-hand side, held constant, is the target. At t = 1
    a perfect g is the action that the flow would reach.

    Source: mean flows (Geng et al. 2025); MeanFlow-QL (Wang et al. 2025), with the data at time 0 as there.

    Args:
        field: g at the rows' observations.
        actions: a.
        start: e, standard normal draws.
        times: t in [0, 1).
        limit: targets are clipped to [-limit, limit].
        valid: as in `matching_errors`.
    """
    points, velocity = interpolate(actions, start, times), start - actions
    predicted, derivative = jax.jvp(field, (points, times), (velocity, jnp.ones_like(times)))
    target = jax.lax.stop_gradient(points + (times - 1) * velocity - times * derivative)
    return number_mean((predicted - jnp.clip(target, -limit, limit)) ** 2, valid)


def reflect(point: Points, step: Points, radius: float) -> Points:
    """point + step; if that lies outside the ball of `radius`, the part of the step that leads outward is removed.

    What remains of y = point + step is (point . y / |y|^2) y, the projection of the point onto y's direction. So a
    point that starts in the ball stays in it, whatever the step.

    Source: reflected flows (Zhang et al. 2026).
    """
    moved = point + step
    squared = jnp.sum(moved**2, axis=-1, keepdims=True)
    # The maximum changes nothing where the projection is taken, and keeps gradients finite where it is not.
    share = jnp.sum(point * moved, axis=-1, keepdims=True) / jnp.maximum(squared, radius**2)
    return jnp.where(squared > radius**2, share * moved, moved)


def euler(velocity: Velocity, start: Points, steps: int) -> Points:
    """x at time 1 after `steps` equal steps of Euler's method from x_0 at time 0; nothing is clipped on the way.

    The loop is unrolled, so that the compiler fuses across steps and its cost analysis counts all of them.
    """
    x = start
    for step in range(steps):
        x = x + velocity(x, step / steps) / steps
    return x


def reflected_euler(velocity: Velocity, start: Points, steps: int, radius: float) -> Points:
    """`euler` inside a ball: every step is reflected at its surface."""
    x = start
    for step in range(steps):
        x = reflect(x, velocity(x, step / steps) / steps, radius)
    return x
