"""An online run of seconds in a toy environment, for tests of what happens around it."""

import os
import signal

from drol.environments.limits import EvaluationLimits
from drol.environments.pool import EnvironmentPool
from drol.environments.spec import EnvironmentSpec
from drol.online.loop import Prior, train_online
from drol.online.settings import OnlineSettings
from drol.training.keeper import Run
from drol.training.settings import Settings
from drol.types import Chunking, Spec
from tests.helpers.toy_run import algorithm, data, fake_evaluation, records

TOY = EnvironmentSpec("tests.helpers.toy_environment:DrolToy-v0")
ONLINE = OnlineSettings(steps=120, environments=2, block=4, updates_per_step=0.5, warm_up=24)
SETTINGS = Settings(seed=5, updates=48, batch_size=16, eval_every=16, updates_per_call=8)
SPEC, SINGLE = Spec(4, 3), Chunking()
TIMES = {"updates_per_second", "elapsed_seconds", "acting_share"}


def train(folder, *, online=ONLINE, settings=SETTINGS, workers=1, environment=TOY, prior=None, trained=None, **options):
    """Train online in the toy environment; its state at the end."""
    further = {name: options.pop(name) for name in ("reward", "restart") if name in options}
    options = {"evaluate": fake_evaluation} | options
    run = Run(trained or algorithm(), folder, settings, **options)
    limits = EvaluationLimits(step_seconds=20.0)
    with EnvironmentPool(environment, workers=workers, slots=online.environments, limits=limits) as pool:
        outcome = train_online(run, online, pool, prior or Prior(SPEC, SINGLE, data), **further)
    return outcome


def online_records(folder):
    """All records without wall-clock fields."""
    metrics, evaluations, _, policies = records(folder)
    metrics = [{name: value for name, value in line.items() if name not in TIMES} for line in metrics]
    return metrics, evaluations, folder.episodes.read(), policies


class StopAt:
    """A sink that stops the run at an update."""

    def __init__(self, update):
        self._update = update

    def write(self, update, metrics):
        if update == self._update:
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass
