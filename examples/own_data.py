"""Your own logs, examined before training: a mistake that the doctor finds, its repair, and a policy from the result.

    python examples/own_data.py walks.npz

The task is that of own_arrays.py: an action pushes a point on a line, and the reward is minus its distance from the
origin. Episodes end at a time limit after 20 steps, but the recorder wrote one flag, `done`, and here it is taken for
`terminated`. Training would learn that nothing can be earned after step 20.
"""

import sys
from pathlib import Path

import jax
import numpy as np

import drol
from drol.data import files
from drol.doctor import Report, examine


# --8<-- [start:record]
def record(path: Path, episodes: int = 200, steps: int = 20, *, repaired: bool = False) -> None:
    """Write random walks as an npz file, with the time limit's flag as `terminated`, or repaired as `truncated`."""
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (episodes, steps, 1))
    starts = rng.uniform(-1, 1, (episodes, 1, 1))
    positions = np.concatenate([starts, starts + 0.2 * np.cumsum(actions, axis=1)], axis=1)
    done = np.zeros((episodes, steps), bool)
    done[:, -1] = True
    never = np.zeros_like(done)
    np.savez(
        path,
        observations=positions[:, :-1].reshape(-1, 1),
        actions=actions.reshape(-1, 1),
        rewards=-np.abs(positions[:, 1:]).ravel(),
        next_observations=positions[:, 1:].reshape(-1, 1),
        terminated=(never if repaired else done).ravel(),
        truncated=(done if repaired else never).ravel(),
    )


# --8<-- [end:record]


# --8<-- [start:examine]
def diagnose(path: Path) -> Report:
    """What `drol doctor` prints, as an object."""
    report = examine(files.read(path))
    print(report.verdict)
    for finding in report.findings:
        print(f"  {finding.severity}: {finding.what}\n    {finding.why}\n    {finding.remedy}")
    return report


# --8<-- [end:examine]


# --8<-- [start:train]
def train(path: Path, updates: int) -> drol.LoadedPolicy:
    """Train on the file with the fused loop; the policy answers in the units of the file."""
    dataset = drol.load_data(path)
    data = drol.ReplayData.from_transitions(dataset.train)
    algorithm = drol.DROL(num_candidates=4, bc_coef=0.1, discount=0.9, hidden=(64, 64), learning_rate=1e-3)
    state = algorithm.init(data.spec, key=jax.random.key(0))
    state, _, finite = drol.train_chunk(algorithm, state, data, jax.random.key(1), batch_size=128, length=updates)
    assert finite
    policy = algorithm.policy(state)
    drol.save_policy(policy if dataset.units is None else drol.in_units(policy, dataset.units), path.with_suffix(""))
    return drol.load_policy(path.with_suffix(""))


# --8<-- [end:train]


def main(out: str | Path = "walks.npz", updates: int = 1_000) -> tuple[Report, Report, float]:
    """Return the reports before and after the repair, and the mean distance from the origin after 20 steps.

    `out` is left with the repaired logs, and the policy is stored next to it.
    """
    path = Path(out)
    record(path)
    before = diagnose(path)
    record(path, repaired=True)
    after = diagnose(path)
    policy = train(path, updates)
    positions = np.linspace(-1, 1, 21)[:, None]
    for _ in range(20):
        positions = positions + 0.2 * policy(positions)
    distance = float(np.abs(positions).mean())
    print(f"mean distance from the origin: 0.524 at the start, {distance:.3f} after 20 steps")
    return before, after, distance


if __name__ == "__main__":
    main(*sys.argv[1:2])
