"""The optional packages that a command needs, so that all missing ones can be named at once."""

from drol.environments.spec import EnvironmentSpec
from drol.sources import NOWHERE, PUBLISHED, Needs, collector_of, source_of
from drol.sources.contract import GYMNASIUM

CHECKPOINTS: Needs = {"orbax.checkpoint": "train"}
RUNS: Needs = {"rich": "train"} | CHECKPOINTS


def of_data(name: str) -> Needs:
    """What reading a data set needs.

    Args:
        name: of its task, or its file or folder.
    """
    return source_of(name).data_needs(name)


def of_environment(name: str | None) -> Needs:
    """What evaluating in an environment needs.

    Args:
        name: as `--env` or a task names it; None or `none` for no environment.
    """
    if name is None or name == NOWHERE:
        return {}
    claiming = next((source for source in PUBLISHED if source.claims(name)), None)
    return of_spec(EnvironmentSpec(name)) if claiming is None else claiming.environment_needs


def of_evaluation(task: str, environment: str | None) -> Needs:
    """What evaluating on a task needs: in the environment that was named, or else in the task's own."""
    return source_of(task).environment_needs if environment is None else of_environment(environment)


def of_spec(spec: EnvironmentSpec) -> Needs:
    """What evaluating in an environment that a policy file names needs."""
    making = next((source for source in PUBLISHED if source.makes(spec)), None)
    return GYMNASIUM if making is None else making.environment_needs


def of_collection(name: str) -> Needs:
    """What collecting a data set with an expert needs."""
    return collector_of(name).collection_needs
