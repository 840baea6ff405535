"""Several seeds and hyperparameters at once: as a `vmap` over `drol.step`, and as runs with `drol.train_many`.

python examples/many_seeds.py
"""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import drol


def logs(rows: int = 2_000) -> dict[str, np.ndarray]:
    """One-step episodes: a state in [-1, 1], a random action, and a reward that is highest where both are equal."""
    states, actions = np.random.default_rng(0).uniform(-1, 1, (2, rows, 1)).astype(np.float32)
    rewards = 1 - np.abs(actions - states)[:, 0]
    ends = np.ones(rows, bool)
    return {
        "observations": states,
        "actions": actions,
        "rewards": rewards,
        "terminated": ends,
        "next_observations": states,
    }


# --8<-- [start:vmap]
def swept(seeds: int, bc_coefs: tuple[float, ...], updates: int) -> jax.Array:
    """The last cloning loss at every `bc_coef` and seed, (bc_coefs, seeds): all of them in one compiled program."""
    data = drol.ReplayData.from_transitions(drol.from_arrays(**logs()))

    def trained(bc_coef: jax.Array, seed: jax.Array) -> jax.Array:
        algorithm = drol.DROL(num_candidates=4, bc_coef=bc_coef, hidden=(32, 32))
        init_key, run_key = jax.random.split(jax.random.key(seed))

        def update(state: drol.DROLState, number: jax.Array):
            sample_key, step_key = jax.random.split(jax.random.fold_in(run_key, number))
            return drol.step(algorithm, state, data.sample(64, key=sample_key), key=step_key)

        _, metrics = jax.lax.scan(update, algorithm.init(data.spec, key=init_key), jnp.arange(updates))
        return metrics["bc_loss"][-1]

    over_seeds = jax.vmap(trained, in_axes=(None, 0))
    return jax.jit(jax.vmap(over_seeds, in_axes=(0, None)))(jnp.array(bc_coefs), jnp.arange(seeds))


# --8<-- [end:vmap]


# --8<-- [start:runs]
def runs(folder: Path, seeds: int, bc_coefs: tuple[float, ...], updates: int) -> list[drol.Result]:
    """One run folder for each seed and `bc_coef`, trained in as few programs as is fastest on this machine."""
    np.savez(folder / "logs.npz", **logs())
    config = drol.RunConfig(
        task=str(folder / "logs.npz"),
        out=folder / "runs",
        updates=updates,
        eval_every=updates // 2,
        hyperparameters={"num_candidates": 4, "hidden": (32, 32)},
    )
    return drol.train_many(config, seeds=range(seeds), sweep={"bc_coef": list(bc_coefs)}, progress=False)


# --8<-- [end:runs]


def main(seeds: int = 3, bc_coefs: tuple[float, ...] = (1.0, 10.0), updates: int = 1_000):
    """Do both; return the losses of the first and the results of the second."""
    losses = swept(seeds, bc_coefs, updates)
    print(f"cloning loss by bc_coef and seed:\n{losses}")
    with tempfile.TemporaryDirectory() as folder:
        results = runs(Path(folder), seeds, bc_coefs, updates)
        for result in results:
            print(f"{result.folder.name}: {int(result.state.step)} updates")
    return losses, results


if __name__ == "__main__":
    main()
