"""Actions that depend on nothing, for the first steps of an online run."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.policy import Choice, Policy, PolicyKind
from drol.types import Key, Spec


class RandomPolicy(Policy):
    """Uniform in [-1, 1]^d, independently at every step."""

    dimensions: Spec = eqx.field(static=True)
    choice: Choice = eqx.field(static=True, default=Choice())

    def noise(self, *, key: Key) -> Float[Array, " plan"]:
        return jax.random.uniform(key, (self.dimensions.plan_dim,), jnp.float32, minval=-1.0)

    def act(self, observation: Float[Array, " observation"], noise: Float[Array, " plan"]) -> Float[Array, " plan"]:
        return noise

    def with_kind(self, kind: PolicyKind) -> "RandomPolicy":
        return self

    @property
    def spec(self) -> Spec:
        return self.dimensions
