"""One update over several devices, with `jax.shard_map` and with `jax.pmap`: the same gradient as on one device.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 python examples/sharded.py

The flag makes four devices of one CPU, to try it without accelerators. Parameters are compared after a step of plain
gradient descent, because Adam's normalisation would hide a wrong scale.
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

import drol

ROWS = 64


def problem() -> tuple[drol.DROL, drol.DROLState, drol.Batch]:
    """An algorithm, its state, and a batch of random transitions."""
    algorithm = drol.DROL(num_candidates=4, hidden=(32, 32), optimizer=optax.sgd(0.1))
    draw = iter(jax.random.split(jax.random.key(0), 6))
    observations, next_observations = (jax.random.normal(next(draw), (ROWS, 3)) for _ in range(2))
    actions, next_actions = (jax.random.uniform(next(draw), (ROWS, 2), minval=-1) for _ in range(2))
    batch = drol.Batch(
        observations=observations,
        actions=actions,
        rewards=jax.random.normal(next(draw), (ROWS,)),
        masks=jnp.ones(ROWS),
        next_observations=next_observations,
        next_actions=next_actions,
    )
    return algorithm, algorithm.init(batch.spec, key=next(draw)), batch


# --8<-- [start:shard_map]
def by_shard_map(algorithm: drol.DROL, state: drol.DROLState, batch: drol.Batch, key: jax.Array):
    """Every device gets its rows of the batch, and the same state and key."""
    mesh = Mesh(jax.devices(), ("data",))
    everywhere, rows = PartitionSpec(), PartitionSpec("data")

    def step(state: drol.DROLState, batch: drol.Batch, key: jax.Array):
        return drol.step(algorithm, state, batch, key=key, axis_name="data")

    sharded = jax.shard_map(step, mesh=mesh, in_specs=(everywhere, rows, everywhere), out_specs=everywhere)
    return jax.jit(sharded)(state, batch, key)


# --8<-- [end:shard_map]


# --8<-- [start:pmap]
def by_pmap(algorithm: drol.DROL, state: drol.DROLState, batch: drol.Batch, key: jax.Array):
    """The same with a leading axis of devices; every device returns the same result, of which the first is taken."""
    count = jax.device_count()
    stacked = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)

    def step(state: drol.DROLState, batch: drol.Batch, key: jax.Array):
        return drol.step(algorithm, state, batch, key=key, axis_name="data")

    result = jax.pmap(step, axis_name="data", in_axes=(None, 0, None))(state, stacked, key)
    return jax.tree.map(lambda x: x[0], result)


# --8<-- [end:pmap]


def main() -> dict[str, float]:
    """Return the largest difference of any parameter from one device's, for each way."""
    algorithm, state, batch = problem()
    key = jax.random.key(1)
    alone, _ = jax.jit(drol.step)(algorithm, state, batch, key=key)
    differences = {}
    for name, update in (("shard_map", by_shard_map), ("pmap", by_pmap)):
        together, _ = update(algorithm, state, batch, key)
        gaps = jax.tree.map(lambda one, other: float(jnp.max(jnp.abs(one - other))), alone, jax.device_get(together))
        differences[name] = max(jax.tree.leaves(gaps))
        print(f"{name} over {jax.device_count()} devices: parameters differ by at most {differences[name]:.1e}")
    return differences


if __name__ == "__main__":
    main()
