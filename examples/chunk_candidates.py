"""How many candidates a chunk of actions needs: routed cloning and coverage by K and h.

Actors are trained by routed behaviour cloning alone (`q_coef` = 0) on chunks of h actions, with K candidates. On
held-out chunks, each with fresh latents, this measures

* error: the squared distance of the data's chunk and its winner, per number;
* covered: the share of chunks within a root mean square distance of `NEAR` per number of some candidate.

`python examples/chunk_candidates.py FILE.npz --out FILE.json` on data of `cube-single-play-singletask-task2-v0`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import drol
from drol.algorithm import flattened
from drol.data.dataset import Dataset
from drol.ops import losses, routing
from drol.presets import SIZES

TASK = "cube-single-play-singletask-task2-v0"
NEAR = 0.2
HELD_OUT = 4_096
HIDDEN = SIZES["laptop"].hidden
CELL = ("chunk", "candidates", "seed", "updates", "hidden")
"""What tells one record from another."""


def measured(
    data: Dataset, chunk: int, candidates: int, *, updates: int, hidden: Sequence[int] = HIDDEN, seed: int = 0
) -> dict[str, float]:
    """Held-out routed cloning of one actor: `error` per number, and `covered`."""
    chunking = drol.Chunking(chunk)
    train = drol.ReplayData.from_transitions(data.train, chunking)
    held_out = drol.ReplayData.from_transitions(data.validation, chunking)
    algorithm = drol.DROL(num_candidates=candidates, q_coef=0.0, ensemble=1, hidden=tuple(hidden))
    state = algorithm.init(train.spec, key=jax.random.key(seed))
    state, *_ = drol.train_chunk(algorithm, state, train, jax.random.key(seed + 1), batch_size=256, length=updates)
    batch = flattened(algorithm, held_out.sample(HELD_OUT, key=jax.random.key(seed + 2)))
    noise = algorithm.noise(batch.spec.flat, jnp.arange(HELD_OUT), key=jax.random.key(seed + 3))

    @jax.jit
    def distances(actor, batch, latents):
        sets = actor.candidates(batch.observations, latents)
        winners = jax.vmap(routing.route)(sets, batch.actions, batch.valid).winner
        chosen = jnp.take_along_axis(sets, winners[:, None, None], axis=1)[:, 0]
        return losses.behaviour_cloning(chosen, batch.actions, batch.valid)

    found = distances(state.actor, batch, noise.candidates)
    return {"error": float(found.mean()), "covered": float((jnp.sqrt(found) < NEAR).mean())}


def main(
    path: Path,
    *,
    chunks: Sequence[int] = (1, 5, 10),
    candidates: Sequence[int] = (1, 4, 16, 64, 256),
    updates: int = 5_000,
    hidden: Sequence[int] = HIDDEN,
    seeds: Sequence[int] = (0,),
    out: Path | None = None,
) -> list[dict[str, Any]]:
    """One record per h, K and seed, printed as it arrives."""
    data = drol.load_data(TASK, path=path)
    records = json.loads(out.read_text()) if out is not None and out.exists() else []
    cells = [{name: record.get(name) for name in CELL} for record in records]
    for seed in seeds:
        for chunk in chunks:
            for count in candidates:
                cell = dict(zip(CELL, (chunk, count, seed, updates, list(hidden)), strict=True))
                if cell in cells:
                    continue
                found = measured(data, chunk, count, updates=updates, hidden=hidden, seed=seed)
                records.append(cell | found)
                print(" ".join(f"{name} {value}" for name, value in records[-1].items()), flush=True)
                if out is not None:
                    out.write_text(json.dumps(records, indent=1))
    return records


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--updates", type=int, default=5_000)
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    main(given.path, updates=given.updates, hidden=given.hidden, seeds=given.seeds, out=given.out)
