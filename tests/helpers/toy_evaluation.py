"""Evaluations of a run in the toy environment."""

from pathlib import Path

from drol.environments.results import as_record
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec

TOY = "tests.helpers.toy_environment:DrolToy-v0"


class toy_evaluation:
    """Evaluations in the toy environment; the one at update 20 leaves `stalled` behind as it begins."""

    def __init__(self, fault=None, while_there=None, stalled=None):
        options = (("fault", fault), ("while_there", while_there)) if fault else ()
        self._spec, self._stalled = EnvironmentSpec(TOY, options), stalled

    def __enter__(self):
        self._evaluator = Evaluator(self._spec, workers=2, slots=2)
        return self

    def __exit__(self, *_):
        self._evaluator.close()

    def __call__(self, policy, update):
        if self._stalled:
            Path(self._stalled).touch()
        return [as_record(result) for result in self._evaluator.run(policy, episodes=3, seed=update)]
