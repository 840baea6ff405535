"""The operations of one update, counted by hand and by the compiler."""

import itertools

import jax
import jax.numpy as jnp

from drol.algorithms.drol import DROL
from drol.types import Batch, Spec


def update_flop(algorithm: DROL, spec: Spec, batch: int) -> int:
    """Floating-point operations in the matrix products that one winner-only update cannot avoid.

    Elementwise work is left out. The observation's share of the first layer counts once per state in the candidates'
    pass; gradients with respect to inputs stop where nobody needs them.
    """
    o, d, hidden, ensemble = spec.observation_dim, spec.action_dim, algorithm.hidden, algorithm.ensemble

    def products(fan_in: int, fan_out: int) -> list[int]:
        widths = (fan_in, *hidden, fan_out)
        return [2 * m * n for m, n in itertools.pairwise(widths)]

    actor, critic = products(o + d, d), products(o + d, 1)
    count, backup = algorithm.num_candidates, algorithm.backup_candidates
    shared = 2 * o * hidden[0]

    def fan(samples: int) -> int:
        return shared + samples * (sum(actor) - shared)

    routing = fan(count) if count > 1 else 0
    # Forward, gradient of the weights, and gradient of the inputs in all layers but the first.
    winner = 3 * sum(actor) - actor[0]
    # Forward, and back to the action alone.
    guidance = ensemble * (2 * sum(critic) - critic[0] + 2 * d * hidden[0])
    targets = fan(backup) + backup * ensemble * sum(critic)
    learning = ensemble * (3 * sum(critic) - critic[0])
    return batch * (routing + winner + guidance + targets + learning)


def compiled_flop(algorithm: DROL, spec: Spec, batch: int) -> float:
    """What the compiler counts in one update outside any loop (of a loop it would count one turn): elementwise work,
    Adam and the target average included, random draws not."""

    def inputs(key: jax.Array):
        o, d = jnp.zeros((batch, spec.observation_dim)), jnp.zeros((batch, spec.action_dim))
        transitions = Batch(o, d, jnp.zeros(batch), jnp.zeros(batch), o, d)
        return algorithm.init(spec, key=key), transitions, algorithm.noise(spec, jnp.arange(batch), key=key)

    update = jax.jit(lambda state, batch, noise: algorithm.update(state, batch, noise))
    cost = update.lower(*jax.eval_shape(inputs, jax.random.key(0))).cost_analysis()
    assert cost is not None
    return float(cost["flops"])
