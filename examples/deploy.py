"""A policy at work: load it from its folder, act on NumPy observations, measure how long that takes.

    python examples/deploy.py runs/cube-single-play-singletask-task2-v0-drol-seed0

Without a folder, it makes an untrained policy for a robot with actions in [-2, 2].
"""

import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

import drol


# --8<-- [start:save]
def untrained(folder: Path) -> Path:
    """Store a policy with the units of its robot, as `drol train` does with a trained one."""
    spec = drol.Spec(observation_dim=6, action_dim=2)
    algorithm = drol.DROL(hidden=(64, 64))
    policy = algorithm.policy(algorithm.init(spec, key=jax.random.key(0)))
    units = drol.Units(
        observation_mean=np.full(6, 10, np.float32),
        observation_std=np.full(6, 3, np.float32),
        action_low=np.full(2, -2, np.float32),
        action_high=np.full(2, 2, np.float32),
    )
    drol.save_policy(drol.in_units(policy, units), folder, facts={"task": "robot"})
    return folder


# --8<-- [end:save]


# --8<-- [start:act]
def act(folder: Path) -> np.ndarray:
    """Load a policy and act: on one observation, on several, reproducibly, and without randomness."""
    policy = drol.load_policy(folder, seed=0)
    print(policy, policy.facts)
    observation = np.full(policy.policy.spec.observation_dim, 10.0)

    action = policy(observation)  # (action,) in the robot's units
    actions = policy(np.stack([observation] * 5))  # (5, action)
    print(f"one: {action}; five at once:\n{actions}")

    # Call number i always draws the same, so a reloaded policy repeats the sequence; an explicit key repeats one call.
    assert (drol.load_policy(folder, seed=0)(observation) == action).all()
    key = jax.random.key(7)
    assert (policy(observation, key=key) == policy(observation, key=key)).all()

    # Deterministic: the action of the centre latent. Also: "best-of-n" and "dense", which rank samples by the critic.
    centre = drol.load_policy(folder, kind="centre")
    assert (centre(observation) == centre(observation)).all()
    return action


# --8<-- [end:act]


# --8<-- [start:latency]
def latency(folder: Path, calls: int = 1_000) -> float:
    """The median number of microseconds from NumPy observation to NumPy action."""
    policy = drol.load_policy(folder)
    observation = np.zeros(policy.policy.spec.observation_dim, np.float32)
    policy(observation)  # compiles
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        policy(observation)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)) * 1e6


# --8<-- [end:latency]


def main(folder: str | None = None, calls: int = 1_000) -> np.ndarray:
    """Act with the policy in a folder, or with an untrained one; return its first action."""
    with tempfile.TemporaryDirectory() as temporary:
        path = untrained(Path(temporary) / "policy") if folder is None else Path(folder)
        action = act(path)
        print(f"one action takes {latency(path, calls):.0f} microseconds (median)")
    return action


if __name__ == "__main__":
    main(*sys.argv[1:2])
