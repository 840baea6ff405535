"""Plans of several actions: train on chunks in your own loop, store the policy, and execute its plans.

The task and the logs are those of own_arrays.py: walk to the origin of a line, from logs of random walks.
"""

import tempfile

import jax
import numpy as np
from own_arrays import logs

import drol


# --8<-- [start:train]
def trained(updates: int, hidden: tuple[int, ...]) -> drol.Policy:
    """A policy that plans four actions at once."""
    arrays = logs()
    transitions = drol.from_arrays(**arrays, terminated=np.zeros(len(arrays["rewards"]), bool))
    data = drol.ReplayData.from_transitions(transitions, drol.Chunking(chunk=4))
    algorithm = drol.DROL(num_candidates=32, bc_coef=0.1, discount=0.9, hidden=hidden, learning_rate=1e-3)
    state = algorithm.init(data.spec, key=jax.random.key(0))
    for update in range(updates):
        key = jax.random.fold_in(jax.random.key(1), update)
        batch = data.sample(256, key=key)  # a ChunkBatch: observations (256, 1), actions (256, 4, 1), rewards (256, 4)
        state, metrics = step(algorithm, state, batch, key=key)
    print(f"{updates} updates, actor loss {float(metrics['actor_loss']):.3f}")
    return algorithm.policy(state).in_chunks(4)


step = jax.jit(drol.step, donate_argnums=1)
# --8<-- [end:train]


# --8<-- [start:act]
def walked(policy: drol.LoadedPolicy) -> float:
    """The mean distance from the origin after twenty steps from 21 places: five passes of the network."""
    policy.reset()  # at the beginning of every episode
    positions = np.linspace(-1, 1, 21)[:, None]
    for _ in range(20):
        positions = positions + 0.2 * policy(positions)
    return float(np.abs(positions).mean())


# --8<-- [end:act]


def main(updates: int = 2_000, hidden: tuple[int, ...] = (64, 64)) -> tuple[float, float]:
    """The mean distance from the origin when whole plans are executed, and when only their first action is."""
    plan = trained(updates, hidden)
    with tempfile.TemporaryDirectory() as folder:
        drol.save_policy(plan, f"{folder}/policy")
        whole = walked(drol.load_policy(f"{folder}/policy"))
        first = walked(drol.load_policy(f"{folder}/policy", replan=1))
    print(f"mean distance from the origin: 0.524 at the start; {whole:.3f} with whole plans, {first:.3f} replanning")
    return whole, first


if __name__ == "__main__":
    main()
