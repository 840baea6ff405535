"""Your own logs as arrays: train with the fused loop, save the policy, load it and act.

The task: an action pushes a point on a line, and the reward is minus its distance from the origin. The logged actions
are random, so cloning them leads nowhere; a policy improved by the critic moves to the origin.
"""

import tempfile

import jax
import numpy as np

import drol


def logs(episodes: int = 200, steps: int = 20, seed: int = 0) -> dict[str, np.ndarray]:
    """Random walks as arrays (T, ...), in the order they were recorded."""
    rng = np.random.default_rng(seed)
    columns = {name: [] for name in ("observations", "actions", "rewards", "next_observations", "truncated")}
    for _ in range(episodes):
        position = rng.uniform(-1, 1, 1)
        for step in range(steps):
            action = rng.uniform(-1, 1, 1)
            following = position + 0.2 * action
            row = (position, action, -abs(following[0]), following, step == steps - 1)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            position = following
    return {name: np.array(values) for name, values in columns.items()}


# --8<-- [start:train]
def main(updates: int = 2_000, hidden: tuple[int, ...] = (64, 64)) -> float:
    """Train on the logs; return the mean distance from the origin after 20 steps of the policy."""
    arrays = logs()
    transitions = drol.from_arrays(**arrays, terminated=np.zeros(len(arrays["rewards"]), bool))
    data = drol.ReplayData.from_transitions(transitions)
    algorithm = drol.DROL(num_candidates=16, bc_coef=0.1, discount=0.9, hidden=hidden, learning_rate=1e-3)
    state = algorithm.init(data.spec, key=jax.random.key(0))
    for _ in range(updates // 200):
        state, metrics, finite = drol.train_chunk(algorithm, state, data, jax.random.key(1), batch_size=256, length=200)
        print(f"update {int(state.step)}: actor loss {float(metrics['actor_loss']):.3f}, finite {bool(finite)}")
    with tempfile.TemporaryDirectory() as folder:
        drol.save_policy(algorithm.policy(state), f"{folder}/policy")
        policy = drol.load_policy(f"{folder}/policy")
    positions = np.linspace(-1, 1, 21)[:, None]
    for _ in range(20):
        positions = positions + 0.2 * policy(positions)
    distance = float(np.abs(positions).mean())
    print(f"mean distance from the origin: 0.524 at the start, {distance:.3f} after 20 steps")
    return distance


# --8<-- [end:train]


if __name__ == "__main__":
    main()
