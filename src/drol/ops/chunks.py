"""Chunks of consecutive steps: which steps count, and what a chunk returns.

A row holds n steps of one episode, of which the first h are the actions of a plan. With r_i, m_i and v_i its rewards,
masks (1 - terminated) and flags (1 if the step belongs to the same episode as the first), its target is

    y = sum_i gamma^i c_i r_i + gamma^n M Q'(s_n, A'),

where step i counts (c_i = 1) if it is valid and nothing terminated before it, and M is the mask of the last step that
counts. Nothing is earned after a true end, so the sum stops there, inclusive. A row that leaves its episode before its
last step without a true end has no known return, and weighs nothing.

Source: Q-chunking (Li et al. 2025), whose public sampler continues to add rewards after a true end.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.types import Batch, ChunkBatch, Scalar

PerStep = Float[Array, "*batch steps"]
PerRow = Float[Array, "*batch"]


def counted(valid: PerStep, masks: PerStep, *, absorbing: bool = True) -> PerStep:
    """c_i: 1 for the steps that count, then 0.

    Args:
        valid: v_i; the first step is always valid.
        masks: m_i.
        absorbing: whether nothing counts after a true end; if False, only the episode's end matters.
    """
    before = masks[..., :-1] if absorbing else jnp.ones_like(masks[..., :-1])
    steps = [jnp.ones_like(valid[..., :1]), valid[..., 1:] * before]
    return jnp.cumprod(jnp.concatenate(steps, axis=-1), axis=-1)


def discounted_sum(rewards: PerStep, counts: PerStep, discount: Scalar | float) -> PerRow:
    """sum_i gamma^i c_i r_i, from the last step back; differentiable in the discount."""
    kept = jnp.where(counts > 0, rewards, 0)
    total = kept[..., -1]
    for step in reversed(range(rewards.shape[-1] - 1)):
        total = kept[..., step] + discount * total
    return total


def last_mask(masks: PerStep, counts: PerStep) -> PerRow:
    """M: 0 if a step that counts was a true end, else 1."""
    return jnp.min(jnp.where(counts > 0, masks, 1), axis=-1)


def row_weights(counts: PerStep, last: PerRow, *, absorbing: bool = True) -> PerRow:
    """1 if the return of a row is known: all its steps count, or it has come to a true end, after which none would."""
    return jnp.maximum(counts[..., -1], 1 - last) if absorbing else counts[..., -1]


def padded(actions: Float[Array, "*batch chunk action"], counts: PerStep) -> Float[Array, "*batch chunk action"]:
    """Actions in which every step that does not count repeats the last one that does."""
    blocks = [actions[..., 0, :]]
    for step in range(1, actions.shape[-2]):
        blocks.append(jnp.where(counts[..., step, None] > 0, actions[..., step, :], blocks[-1]))
    return jnp.stack(blocks, axis=-2)


def flat_batch(batch: ChunkBatch, discount: Scalar | float) -> Batch:
    """Chunks as algorithms see them: one step whose action is a plan, with what it returns.

    The mask is gamma^(n-1) M, so that `drol.ops.bellman.backup` gives y.

    Args:
        batch: rows of n steps.
        discount: gamma; it may be traced.
    """
    counts = counted(batch.valid, batch.masks, absorbing=batch.absorbing)
    last, (rows, chunk, action) = last_mask(batch.masks, counts), batch.actions.shape
    return Batch(
        observations=batch.observations,
        actions=padded(batch.actions, counts).reshape(rows, chunk * action),
        rewards=discounted_sum(batch.rewards, counts, discount),
        masks=discount ** (batch.rewards.shape[-1] - 1) * last,
        next_observations=batch.next_observations,
        next_actions=batch.next_actions.reshape(rows, chunk * action),
        weights=row_weights(counts, last, absorbing=batch.absorbing),
        valid=None if chunk == 1 else jnp.repeat(counts[:, :chunk], action, axis=-1),
        chunk=chunk,
    )
