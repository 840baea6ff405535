"""A run of seconds on random transitions, for tests of what happens around a run."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np

from drol import DROL, ReplayData, from_arrays
from drol.errors import DivergedError
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.keeper import Run, initial
from drol.training.probes import probes_of
from drol.training.run import train_runs
from drol.training.settings import Settings

WALL_CLOCK = {"updates_per_second", "elapsed_seconds"}


def transitions(seed=0, count=200):
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(count, 4))
    following = np.concatenate([observations[1:], rng.normal(size=(1, 4))])
    actions = rng.uniform(-1, 1, (count, 3))
    terminated = rng.random(count) < 0.05
    return from_arrays(observations, actions, rng.normal(size=count), terminated, following)


def data(seed=0, count=200):
    return ReplayData.from_transitions(transitions(seed, count))


PROBES = probes_of(transitions())


def algorithm(**options):
    return DROL(hidden=(16,), num_candidates=4, **options)


SETTINGS = Settings(seed=3, updates=40, batch_size=16, eval_every=20, updates_per_call=5)


def fake_evaluation(policy, update):
    """An 'environment' whose outcome depends on the policy's parameters."""
    action = free_action(policy)
    return [
        {"episode": i, "seed": i, "return": float(action[0]) + i, "length": 1, "success": i % 2 == 0} for i in range(3)
    ]


@jax.jit
def action_of(policy):
    return policy(jnp.full(4, 0.5), key=jax.random.key(0))


def free_action(policy):
    return np.asarray(action_of(policy))


def train(algorithm, data, folder, settings, *, validation=None, **options):
    """Train one run; its state at the end.

    Raises:
        DivergedError: when a loss or a parameter stops being finite.
    """
    (outcome,) = train_runs([Run(algorithm, folder, settings, **options)], data, validation=validation)
    if outcome.divergence is not None:
        raise DivergedError(outcome.divergence)
    return outcome.state


def run(folder, settings=SETTINGS, table=None, **options):
    options = {"validation": data(1), "evaluate": fake_evaluation, "probes": PROBES} | options
    return train(algorithm(), data() if table is None else table, folder, settings, **options)


def new_folder(path):
    folder = RunFolder(path)
    folder.create({"hello": 1})
    return folder


def latest(folder):
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        return checkpoints.latest()


def records(folder):
    """The records without wall-clock fields: metrics, evaluations, probes, and the arrays of the evaluated policies."""
    metrics = [{k: v for k, v in line.items() if k not in WALL_CLOCK} for line in folder.metrics.read()]
    policies = sorted(str(path.relative_to(folder.path)) for path in folder.policies.glob("*/arrays-*"))
    return metrics, folder.evaluations.read(), folder.probes.read(), policies


def assert_identical(ours, theirs):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


def members(count):
    """What a pack of `count` equal runs of different seeds begins with."""
    return [(one, *initial(one, data().spec, seed)[:2]) for seed, one in enumerate([algorithm()] * count)]
