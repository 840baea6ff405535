"""What to know about a run before it trains, in lines for the user."""

from collections.abc import Collection

from drol.data.dataset import Dataset
from drol.data.windows import share_of_whole_windows
from drol.experiment.config import RunConfig
from drol.presets import has_sparse_rewards, note, preset_for
from drol.sources import Task
from drol.training.settings import slowed

MANY = 0.05
"""More chunks than this that cannot be used are worth a note."""


def notes(config: RunConfig, task: Task, data: Dataset, given: Collection[str], *, resumed: bool = False) -> list[str]:
    """The notes to print before training; of a resumed run, only those on its data.

    Args:
        config: of the run, resolved.
        task: what it trains on.
        data: its data.
        given: the hyperparameters whose values the user chose.
        resumed: whether the run has begun.
    """
    of_data = [f"note: {line}" for line in (*data.notes, *_collected(config, task), *_lost_chunks(data, config))]
    if resumed:
        return of_data
    lines = _published(config, task, given) if isinstance(config.algorithm, str) else []
    lines += [f"note: {line}" for line in _without_effect(config, given)]
    settings = config.settings()
    if (line := slowed(settings.updates, settings.eval_every, settings.updates_per_call)) is not None:
        lines.append(f"note: {line}")
    return lines + of_data


def _published(config: RunConfig, task: Task, given: Collection[str]) -> list[str]:
    """What is not published for the task, or is used otherwise than it was published."""
    name, protocol = config.algorithm_name, config.protocol
    found = note(task.name, name, task.label, given, protocol)
    lines = [] if found is None else [found]
    if protocol is None:
        return lines
    if has_sparse_rewards(task.name) and not config.sparse_rewards:
        lines.append(f"note: protocol {protocol} has sparse rewards here; for the same add --sparse-rewards")
    preset = preset_for(task.name, name, protocol)
    if preset is not None and (config.chunk, config.n_step or preset.chunk) != (preset.chunk, preset.chunk):
        lines.append(f"note: the values of protocol {protocol} here belong to chunks of {preset.chunk}")
    return lines


def _collected(config: RunConfig, task: Task) -> list[str]:
    """Whose data these are, if they are collected by others than the published ones."""
    data_set = task.source.data_set(task.name)
    if config.collect is None or data_set is None or (said := task.source.about_collection(data_set)) is None:
        return []
    return [f"the data are {said}"]


def _without_effect(config: RunConfig, given: Collection[str]) -> list[str]:
    """Hyperparameters that were given and change nothing."""
    values = config.hyperparameters
    return [
        f"{rho} changes nothing, because {how} is {values.get(how)}, not mean-std"
        for rho, how in (("rho", "q_agg"), ("actor_rho", "actor_q_agg"))
        if rho in given and values.get(how) != "mean-std"
    ]


def _lost_chunks(data: Dataset, config: RunConfig) -> list[str]:
    """Data of which many chunks leave their episode."""
    chunking = config.chunking()
    if chunking.steps == 1 or (lost := 1 - share_of_whole_windows(data.train, chunking)) <= MANY:
        return []
    return [
        f"{lost:.0%} of the chunks of {chunking.steps} steps run past the end of their episode: the critic does not "
        f"learn from these, the actor from their beginning"
    ]
