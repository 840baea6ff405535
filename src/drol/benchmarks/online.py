"""What learning online costs: the loop against the sum of its parts, acting and learning alone."""

import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drol.algorithms.drol import DROL
from drol.benchmarks.timing import take_turns
from drol.data.growing import Growth
from drol.environments.episodes import plans_of
from drol.environments.pool import EnvironmentPool
from drol.environments.spec import EnvironmentSpec
from drol.numerics import key_of_seed
from drol.online.explorer import Explorer
from drol.presets import SIZES
from drol.training.loop import train_chunk
from drol.types import Chunking, Spec

BLOCK = 50
BATCH = 256
BLOCKS = 40
"""Blocks for which there is room: more than are timed."""


def bench_online(environment: EnvironmentSpec, size: str, *, environments: int = 1) -> dict[str, Any]:
    """Milliseconds per step of an environment in the loop, one update for each, and of what the loop consists of.

    Args:
        environment: where to act.
        size: a name of `drol.presets.SIZES`: of DROL(16)'s networks.
        environments: how many act side by side.

    Returns:
        size, environments, device; `loop_ms`, and its parts `environment_ms` (steps of the environment in its worker
        process, with random actions), `policy_ms` (calls of the policy) and `update_ms` (updates), each per step, with
        their ranges over rounds; steps_per_second; and ratio, the loop over the sum of its parts.
    """
    with EnvironmentPool(environment, slots=environments) as pool:
        facts = pool.describe()
        return _measured(pool, Spec(facts["observation_dim"], facts["action_dim"]), size)


def _measured(pool: EnvironmentPool, spec: Spec, size: str) -> dict[str, Any]:
    slots, rows = pool.slots, pool.slots * BLOCK
    algorithm = DROL(hidden=SIZES[size].hidden)
    key = jax.random.key(0)
    state = algorithm.init(spec, key=key)
    policy = algorithm.policy(state)
    growth = Growth(None, spec=spec, chunking=Chunking(), steps=rows * BLOCKS, slots=slots, rows=rows)
    explorer = Explorer(pool, spec, executed=1, seed=0)
    growth.append(explorer.block(policy, BLOCK))
    observations, numbers = jnp.zeros((slots, spec.observation_dim)), jnp.arange(slots)
    actions = np.random.default_rng(0).uniform(-0.1, 0.1, (BLOCK, slots, spec.action_dim)).astype(np.float32)

    def learn() -> Any:
        copied = jax.tree.map(jnp.copy, state)
        return train_chunk(algorithm, copied, growth.table, key, batch_size=BATCH, length=rows)[0]

    def environment_alone() -> None:
        pool.exchange("reset", dict.fromkeys(range(slots), 0))
        for action in actions:
            pool.exchange("step", dict(enumerate(action)))

    def policy_alone() -> None:
        for _ in range(BLOCK):
            np.asarray(plans_of(policy, observations, numbers, numbers, key_of_seed(0)))

    def loop() -> Any:
        growth.append(explorer.block(policy, BLOCK))
        return learn()

    programs = {"loop": loop, "update": learn, "policy": policy_alone, "environment": environment_alone}
    jax.block_until_ready(learn())
    times = {name: [seconds / rows * 1e3 for seconds in found] for name, found in take_turns(programs).items()}
    medians = {name: statistics.median(found) for name, found in times.items()}
    record: dict[str, Any] = {"size": size, "environments": slots, "device": jax.devices()[0].device_kind}
    for name, found in times.items():
        record |= {f"{name}_ms": medians[name], f"{name}_ms_range": [min(found), max(found)]}
    parts = sum(value for name, value in medians.items() if name != "loop")
    return record | {"steps_per_second": 1e3 / medians["loop"], "ratio": medians["loop"] / parts}
