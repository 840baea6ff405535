"""What differentiating through a flow's steps holds in memory."""

import jax
import jax.numpy as jnp
import pytest

from drol.algorithms.fbrac import FBRAC
from drol.algorithms.reform import ReFORM
from drol.algorithms.sorl import SORL
from tests.helpers.batches import SPEC, random_batch
from tests.helpers.plain_algorithms import update


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "bound"),
    [(FBRAC(), 120), (SORL(), 80), (ReFORM(), 97)],
    ids=lambda value: getattr(value, "name", None),
)
def test_differentiating_through_steps_takes_bounded_memory(algorithm, bound):
    """Scratch memory of a compiled update at the published size, in MiB: 78, 53 and 65 when measured, half as much
    again allowed.

    Twice the steps take FBRAC to 138; SORL goes beyond its bound where the choice among numbers of steps is
    differentiated from outside.
    """
    batch = random_batch(jax.random.key(1), 256)
    state = jax.eval_shape(lambda: algorithm.init(SPEC, key=jax.random.key(0)))
    noise = jax.eval_shape(lambda: algorithm.noise(SPEC, jnp.arange(256), key=jax.random.key(0)))
    compiled = update.lower(algorithm, state, batch, noise).compile()
    assert compiled.memory_analysis().temp_size_in_bytes / 2**20 < bound
