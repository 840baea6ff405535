"""FQL's student beyond the bounds."""

import equinox as eqx
import jax
import numpy as np

from drol.algorithms.fql import FQL
from tests.helpers.plain_algorithms import close, plain_flow, prepared
from tests.helpers.plain_networks import plain_mlp


def test_fqls_student_is_drawn_back_from_beyond_the_bounds_by_its_teacher_alone():
    """Coordinate 0 lies beyond 1 in every row; student and teacher have one latent."""
    algorithm = FQL(hidden=(8,), flow_steps=3, alpha=3.0)
    state, batch, noise = prepared(algorithm)
    state = eqx.tree_at(lambda s: s.networks.actor.mlp.layers[-1].bias, state, np.float32([9.0, 0.0, 0.0]))

    @jax.jit
    def of_bias(state, batch, noise):
        gradient, metrics = algorithm.gradients(state, batch, noise)
        return gradient.actor.mlp.layers[-1].bias, metrics

    gradient, metrics = of_bias(state, batch, noise)
    taught = plain_flow(state.networks.flow, batch.observations, noise.latent, 3)
    actions = plain_mlp(state.networks.actor.mlp, batch.observations, noise.latent)
    assert (actions[:, 0] > 1).all()
    close(metrics["distillation_loss"], np.mean((actions - taught) ** 2))
    pulled = 3 * 2 * (actions - taught).mean(axis=0) / 3
    close(gradient[0], pulled[0])
    assert (np.abs(gradient[1:] - pulled[1:]) > 1e-3).all()
