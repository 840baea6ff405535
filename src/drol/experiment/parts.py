"""What every kind of run is made of, from its configuration: evaluator, held-out data, sinks."""

import contextlib
import dataclasses
from collections.abc import Sequence

import jax

from drol.data.replay import ReplayData
from drol.data.transitions import Transitions
from drol.data.windows import share_of_whole_windows
from drol.environments.results import as_record
from drol.environments.rollout import Evaluator
from drol.experiment.config import RunConfig
from drol.experiment.progress import RunProgress
from drol.experiment.records import Json
from drol.policy import Policy
from drol.processes import cores
from drol.seeding import episode_seed
from drol.signals import stop_requests
from drol.training.background import Background, cpu
from drol.training.folder import RunFolder
from drol.training.keeper import Evaluate, Run
from drol.training.probes import Probes
from drol.training.records import Sink, TensorBoardSink, WandbSink
from drol.types import Chunking, Spec, Units


def evaluator_of(config: RunConfig, spec: Spec, stack: contextlib.ExitStack) -> Evaluator | None:
    """The environments in which a run is evaluated; None if it is not."""
    if config.evaluated_in is None:
        return None
    with stop_requests():
        workers = config.workers or min(cores(), 8)
        evaluator = stack.enter_context(Evaluator(config.evaluated_in, workers=workers, limits=config.limits()))
        evaluator.check(spec)
    return evaluator


def evaluation_of(evaluator: Evaluator | None, config: RunConfig, shown: RunProgress | None) -> Evaluate | None:
    """Rollouts of a run's policy, seeded by its seed and the update; None where there is no environment."""
    if evaluator is None:
        return None
    episodes, progress = config.eval_episodes, None if shown is None else shown.evaluating
    assert episodes is not None

    def evaluate(policy: Policy, update: int) -> list[Json]:
        seed = episode_seed(config.seed, update)
        return [as_record(result) for result in evaluator.run(policy, episodes=episodes, seed=seed, progress=progress)]

    return evaluate


def background_of(config: RunConfig, evaluator: Evaluator | None) -> Background | None:
    """Where runs are evaluated while they are trained; None if training is to wait for evaluations."""
    return Background(evaluator.close) if config.eval_async and evaluator is not None else None


def with_evaluations_placed(config: RunConfig) -> RunConfig:
    """A new run with the choice whether it is evaluated in the background: where training has an accelerator."""
    if config.eval_async is not None:
        return config
    return dataclasses.replace(config, eval_async=jax.default_backend() != "cpu" and cpu() is not None)


def held_out(validation: Transitions | None, chunking: Chunking) -> ReplayData | None:
    """Held-out data; None if there are none, or too few consecutive steps for one chunk."""
    if validation is None or (chunking.steps > 1 and share_of_whole_windows(validation, chunking) == 0):
        return None
    return ReplayData.from_transitions(validation, chunking)


def run_of(
    config: RunConfig,
    folder: RunFolder,
    sinks: Sequence[Sink],
    evaluate: Evaluate | None,
    units: Units | None,
    probes: Probes | None,
    background: Background | None = None,
) -> Run:
    """A run as the training loops take it."""
    facts = {
        "task": config.task,
        "environment": config.evaluated_in and config.evaluated_in.as_record(),
        "algorithm": config.algorithm_name,
        "seed": config.seed,
    }
    return Run(
        config.build(),
        folder,
        config.settings(),
        evaluate,
        sinks,
        facts,
        units,
        probes,
        config.chunk or 1,
        config.replan,
        background,
    )


def sinks_of(config: RunConfig, folder: RunFolder, record: Json) -> list[Sink]:
    """The further records that a run's configuration asks for."""
    sinks: list[Sink] = []
    if config.tensorboard:
        sinks.append(TensorBoardSink(folder.path / "tensorboard"))
    if config.wandb:
        sinks.append(WandbSink(config.wandb, record, folder.path))
    return sinks
