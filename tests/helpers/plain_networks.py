"""The networks in straight NumPy."""

import jax
import numpy as np


def plain_mlp(mlp, *inputs):
    """A network in NumPy's float64, on its inputs beside each other."""
    x = np.concatenate([np.asarray(columns, np.float64) for columns in inputs], axis=-1)
    for i, layer in enumerate(mlp.layers):
        if i > 0:
            x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        if i > 0 and mlp.norms:
            norm = mlp.norms[i - 1]
            x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
            x = x * np.asarray(norm.scale, np.float64) + np.asarray(norm.bias, np.float64)
        x = x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)
    return x


def plain_critic(critic, *inputs):
    """Every member's Q, (ensemble, rows), as `plain_mlp`."""
    count = critic.members.layers[0].weight.shape[0]
    members = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], critic.members) for i in range(count)]
    return np.stack([plain_mlp(member, *inputs)[..., 0] for member in members])
