"""The environments in which Minari data sets were recorded."""

import gymnasium

from drol.errors import DataError
from drol.extras import MissingExtraError, quiet
from drol.sources.minari.folders import check_environments, folder, open_dataset, read_metadata, shown


def make(dataset_id: str, *, render_mode: str | None = None) -> gymnasium.Env:
    """The environment that a data set names for evaluation or, if it names none, the one it was recorded in.

    The two may differ in more than the time limit.

    Args:
        dataset_id: the data set.
        render_mode: `rgb_array` to render pictures.

    Raises:
        DataError: if the data set is missing or damaged, or if it names no environment or one that cannot be made.
        MissingExtraError: if the environment's package is not installed.
    """
    dataset = open_dataset(dataset_id)
    metadata = read_metadata(folder(dataset_id))
    if dataset.env_spec is None:
        raise DataError(
            f"Minari data set {dataset_id!r} does not say which environment it was recorded in; evaluate in a "
            f"gymnasium environment of your choice, or train with --env none"
        )
    wanted = metadata.get("requirements")
    required = ", ".join(map(str, wanted)) if wanted and isinstance(wanted, list) else "nothing in particular"
    try:
        with quiet():
            check_environments(dataset_id, metadata)
            shown_by = {} if render_mode is None else {"render_mode": render_mode}
            return dataset.recover_environment(eval_env=True, **shown_by)
    except DataError:
        raise
    except (ModuleNotFoundError, gymnasium.error.DependencyNotInstalled) as error:
        package = getattr(error, "name", None)
        raise MissingExtraError(
            f"the environment of Minari data set {dataset_id!r}, {dataset.env_spec.id}, needs "
            f"{f'the package {package!r}' if package else 'a package'}, which is not installed ({error}); the data set "
            f"requires: {required}"
        ) from None
    except Exception as error:
        raise DataError(
            f"the environment of Minari data set {dataset_id!r}, {dataset.env_spec.id}, cannot be made "
            f"({shown(error)}); do the installed package versions differ? The data set requires: {required}"
        ) from None
