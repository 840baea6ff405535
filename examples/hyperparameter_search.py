"""Search hyperparameters with Optuna: those that shape the program one by one, continuous ones side by side in it.

    pip install -e ".[train,ogbench,optuna]"
    python examples/hyperparameter_search.py

Collects ten episodes of OGBench's pointmaze, and tries four combinations of K and `bc_coef` at a time on them. Stop it
with Ctrl-C at any time, and run it again to go on: trials that were begun are finished first, each run from its last
checkpoint.
"""

import collections
import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import drol

MAZE = drol.RunConfig(
    task="pointmaze-medium-navigate-singletask-task1-v0", collect=10, updates=2_000, eval_every=500, eval_episodes=10
)
STATIC = {"num_candidates": CategoricalDistribution([4, 16, 64])}
CONTINUOUS = {"bc_coef": FloatDistribution(0.03, 10.0, log=True)}


def opened(folder: Path) -> optuna.Study:
    """The study in a folder, new or continued."""
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    study = optuna.create_study(storage=storage, study_name="drol", direction="maximize", load_if_exists=True)
    # Trials are asked for in batches: the liar keeps those of a batch apart. A continued search must not draw what the
    # first one drew.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), constant_liar=True)
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        if set(trial.params) != set(STATIC | CONTINUOUS):  # stopped while it was asked for
            study.tell(trial.number, state=TrialState.FAIL)
    return study


def score(runs: Sequence[drol.Result]) -> float | None:
    """The mean over seeds; None if one is missing, since leaving out seeds would select among them."""
    figures = [run.figure.value for run in runs if run.divergence is None and run.figure is not None]
    return statistics.fmean(figures) if len(figures) == len(runs) else None


# --8<-- [start:train]
def train(study: optuna.Study, trials: Sequence[optuna.trial.FrozenTrial], config: drol.RunConfig, seeds: range):
    """Train trials that are alike but for continuous values in as few programs as is fastest, and tell their scores."""
    values = [trial.params["bc_coef"] for trial in trials]
    (shape,) = {trial.params["num_candidates"] for trial in trials}
    out = Path(str(config.out)) / f"num_candidates{shape}"
    hyperparameters = dict(config.hyperparameters) | {"num_candidates": shape}
    config = dataclasses.replace(config, hyperparameters=hyperparameters, out=out)
    results = drol.train_many(config, seeds=seeds, sweep={"bc_coef": values}, resume=None)
    for number, trial in enumerate(trials):
        found = score(results[number * len(seeds) : (number + 1) * len(seeds)])
        study.tell(trial.number, found, state=TrialState.FAIL if found is None else None)


# --8<-- [end:train]


def main(
    folder: Path = Path("runs/search"),
    trials: int = 12,
    batch: int = 4,
    seeds: range = range(3),
    config: drol.RunConfig = MAZE,
) -> optuna.Study:
    """Search, and train the best combination again at seeds that the search has not seen."""
    study, config = opened(folder), dataclasses.replace(config, out=folder)
    while True:
        waiting = study.get_trials(states=[TrialState.RUNNING])
        if not waiting:
            missing = trials - len(study.trials)
            if missing <= 0:
                break
            for _ in range(min(batch, missing)):
                study.ask(STATIC | CONTINUOUS)
            continue
        groups = collections.defaultdict(list)
        for trial in waiting:
            groups[trial.params["num_candidates"]].append(trial)
        for group in groups.values():
            train(study, group, config, seeds)
    print(f"best of {trials}: {study.best_params}, {study.best_value:.2f}")

    # The best of many scores is too high: it was chosen for being high. Other seeds give an honest one.
    hyperparameters = dict(config.hyperparameters) | study.best_params
    out = folder / f"chosen{study.best_trial.number}"
    chosen = dataclasses.replace(config, hyperparameters=hyperparameters, out=out)
    again = drol.train_many(chosen, seeds=range(seeds.stop, seeds.stop + len(seeds)), resume=None)
    print(f"at seeds it was not chosen by: {score(again)}")
    return study


if __name__ == "__main__":
    main()
