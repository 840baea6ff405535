"""Fingerprints of the programs that updates trace to: the same text means the same program, operation by operation.

`python -m tests.helpers.programs > tests/compatibility/programs.json` stores those of the present code.
"""

import hashlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np

import drol
from drol.algorithms.registry import ALGORITHMS
from drol.training.loop import train_chunk
from tests.helpers.batches import SPEC, random_batch
from tests.helpers.small_algorithms import small

LATER = ("bfn", "sac", "rlpd")
"""Algorithms that are not older than chunks."""

VARIANTS = {
    "drol of one candidate": ("drol", {"num_candidates": 1}),
    "drol that backs up the best of four": ("drol", {"backup_candidates": 4, "q_agg": "mean-half-std"}),
    "iql with ddpg+bc": ("iql", {"extraction": "ddpg+bc"}),
    "rebrac with public momentum": ("rebrac", {"public_momentum": True}),
    "sorl with the public update": ("sorl", {"public_update": True}),
    "fql with normalised Q": ("fql", {"normalize_q": True, "q_agg": "min"}),
    **{name: (name, {}) for name in ALGORITHMS if name not in LATER},
}
"""What is traced: the name of an algorithm that is older than chunks, and options other than its defaults."""


def of_step(name: str, options: dict) -> str:
    """The program of `drol.step` on a batch of single steps; hyperparameters are its constants."""
    algorithm = small(name, **options)
    state = jax.eval_shape(lambda key: algorithm.init(SPEC, key=key), jax.random.key(0))
    batch = random_batch(jax.random.key(1), 8)
    step = jax.make_jaxpr(lambda state, batch, key: drol.step(algorithm, state, batch, key=key))
    return digest(step(state, batch, jax.random.key(2)))


def of_training(name: str) -> str:
    """The program of a chunk of updates, which draws its batches."""
    algorithm, rows = small(name), 12
    state = jax.eval_shape(lambda key: algorithm.init(SPEC, key=key), jax.random.key(0))
    number = np.arange(rows)
    data = drol.ReplayData(
        observations=jnp.zeros((rows + 1, SPEC.observation_dim)),
        actions=jnp.zeros((rows, SPEC.action_dim)),
        rewards=jnp.zeros(rows),
        masks=jnp.ones(rows),
        index=jnp.array(number, jnp.int32),
        next_index=jnp.array(number + 1, jnp.int32),
        next_action_index=jnp.array(np.minimum(number + 1, rows - 1), jnp.int32),
    )
    chunk = train_chunk.__wrapped__
    train = jax.make_jaxpr(lambda state, data, key: chunk(algorithm, state, data, key, batch_size=4, length=2))
    return digest(train(state, data, jax.random.key(2)))


def digest(program: jax.extend.core.ClosedJaxpr) -> str:
    """A checksum of a program's text, without memory addresses."""
    return hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", str(program)).encode()).hexdigest()


if __name__ == "__main__":
    programs = {title: of_step(*variant) for title, variant in VARIANTS.items()}
    programs |= {f"training of {name}": of_training(name) for name in ("drol", "fql", "bc")}
    print(json.dumps({"jax": jax.__version__, "programs": programs}, indent=1))
