"""Logs of your own machine, in its own units: a pendulum swung up by a clumsy controller, with torques from -2 to 2.

Writes an npz file for the command line:

    python examples/pendulum_logs.py pendulum.npz
    drol doctor pendulum.npz
    drol train pendulum.npz --env Pendulum-v1 --normalize-observations --updates 10000 --eval-every 2000
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np


def controller(observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pump energy until upright, then hold; with noise, and with random torques a third of the time."""
    cosine, sine, velocity = observation
    if rng.random() < 1 / 3:
        return rng.uniform(-2, 2, 1)
    if cosine > 0.9:
        torque = -8 * np.arctan2(sine, cosine) - 2 * velocity
    else:
        energy = velocity**2 / 6 + 5 * cosine
        torque = 2 * np.sign(velocity) * np.sign(5 - energy)
    return np.clip([torque + rng.normal(0, 0.5)], -2, 2)


# --8<-- [start:record]
def record(episodes: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Episodes of 200 steps, all ended by the time limit, and the bounds of the torque."""
    env, rng = gymnasium.make("Pendulum-v1"), np.random.default_rng(seed)
    columns = {n: [] for n in ("observations", "actions", "rewards", "terminated", "truncated", "next_observations")}
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        truncated = False
        while not truncated:
            action = controller(observation, rng).astype(np.float32)
            following, reward, terminated, truncated, _ = env.step(action)
            row = (observation, action, reward, terminated, truncated, following)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            observation = following
    space = env.action_space
    env.close()
    return {name: np.array(column) for name, column in columns.items()} | {
        "action_low": space.low,
        "action_high": space.high,
    }


# --8<-- [end:record]


# --8<-- [start:main]
def main(out: str | Path = "pendulum.npz", episodes: int = 200) -> float:
    """Write the logs; return the mean return of their episodes."""
    logs = record(episodes)
    np.savez(out, **logs)
    mean_return = float(logs["rewards"].sum() / episodes)
    print(f"wrote {out}: {episodes} episodes, mean return {mean_return:.0f}")
    return mean_return


# --8<-- [end:main]


if __name__ == "__main__":
    main(*sys.argv[1:])
