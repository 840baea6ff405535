"""A multilayer perceptron over the last axis of an array of any leading shape."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.types import Key

# Variance scaling with scale 1, fan_avg, uniform: the limit is sqrt(3 / mean(fan_in, fan_out)).
initial_weight = jax.nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


class LayerNorm(eqx.Module):
    """Layer normalisation over the last axis, with learnable scale and bias, eps 1e-6."""

    scale: Float[Array, " width"]
    bias: Float[Array, " width"]

    def __init__(self, width: int):
        self.scale = jnp.ones(width)
        self.bias = jnp.zeros(width)

    @jax.named_scope("layer_norm")
    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        mean = jnp.mean(x, axis=-1, keepdims=True)
        # E[x^2] - E[x]^2 reads x once; after a gelu the mean is small against the spread, so cancellation is mild.
        variance = jnp.maximum(jnp.mean(x**2, axis=-1, keepdims=True) - mean**2, 0)
        return (x - mean) * (jax.lax.rsqrt(variance + 1e-6) * self.scale) + self.bias


class Linear(eqx.Module):
    """x -> x W + b with W of shape (in, out): uniform fan_avg initialisation, zero bias."""

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, " fan_out"]

    def __init__(self, fan_in: int, fan_out: int, *, gain: float = 1.0, key: Key):
        self.weight = gain * initial_weight(key, (fan_in, fan_out))
        self.bias = jnp.zeros(fan_out)

    def __call__(self, x: Float[Array, "*batch fan_in"]) -> Float[Array, "*batch fan_out"]:
        return x @ self.weight + self.bias


class MLP(eqx.Module):
    """Linear layers, each hidden one followed by a tanh-gelu and, optionally, layer normalisation."""

    layers: tuple[Linear, ...]
    norms: tuple[LayerNorm, ...]

    def __init__(
        self,
        fan_in: int,
        hidden: Sequence[int],
        fan_out: int,
        *,
        layer_norm: bool,
        output_gain: float = 1.0,
        key: Key,
    ):
        """Build the network.

        Args:
            fan_in: width of the input.
            hidden: widths of the hidden layers, at least one.
            fan_out: width of the linear output.
            layer_norm: normalise after each hidden activation.
            output_gain: factor on the output layer's initial weights.
            key: random key of the weights.

        Raises:
            ValueError: if there is no hidden layer, or a width is not positive.
        """
        widths = (fan_in, *hidden, fan_out)
        if not hidden or any(width < 1 for width in widths):
            raise ValueError(f"an MLP needs at least one hidden layer and positive widths, found {widths}")
        keys = jax.random.split(key, len(widths) - 1)
        gains = (*(1.0 for _ in hidden), output_gain)
        fans = zip(widths[:-1], widths[1:], gains, keys, strict=True)
        self.layers = tuple(Linear(m, n, gain=gain, key=k) for m, n, gain, k in fans)
        self.norms = tuple(LayerNorm(n) for n in hidden) if layer_norm else ()

    def __call__(self, x: Float[Array, "*batch fan_in"]) -> Float[Array, "*batch fan_out"]:
        return self.after_first(self.layers[0](x))

    def after_first(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch fan_out"]:
        """The rest of the network, given the first layer's output before its activation."""
        for i, layer in enumerate(self.layers[1:]):
            x = jax.nn.gelu(x, approximate=True)
            x = layer(self.norms[i](x) if self.norms else x)
        return x
