"""Minari data sets on disk and their metadata."""

import contextlib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drol.errors import DataError
from drol.extras import MissingExtraError, lazy, quiet, require
from drol.files import read_json
from drol.sources.minari.recorded import check_recorded

if TYPE_CHECKING:
    import minari
    from minari import MinariDataset
    from minari.dataset import minari_dataset
    from minari.storage import datasets_root_dir
else:
    minari = lazy("minari", "minari")
    minari_dataset = lazy("minari.dataset.minari_dataset", "minari")
    datasets_root_dir = lazy("minari.storage.datasets_root_dir", "minari")

SMALLEST_EPISODE = 64
"""Bytes; a lower bound on the size of an episode on disk."""


def folder(dataset_id: str) -> Path:
    """Where minari keeps the files of a data set; the environment variable MINARI_DATASETS_PATH sets another root.

    Raises:
        DataError: if `dataset_id` is not the name of a Minari data set.
        MissingExtraError: if minari is not installed.
    """
    require("minari", "minari")
    with quiet():
        match = minari_dataset.DATASET_ID_RE.fullmatch(dataset_id)
    if match is None or match["version"] is None:
        raise DataError(
            f"{dataset_id!r} is not the name of a Minari data set: expected NAME-v0 or SPACE/NAME-v0, as in "
            f"D4RL/pointmaze/umaze-v2; `minari list remote` lists the available ones"
        )
    return datasets_root_dir.get_dataset_path(dataset_id) / "data"


def open_dataset(dataset_id: str) -> "MinariDataset":
    """A data set in minari's folder, with its metadata checked; no episode is read.

    Raises:
        DataError: if it is missing or damaged.
        MissingExtraError: if minari, or a package that it needs for this data set, is not installed.
    """
    where = folder(dataset_id)
    if not where.is_dir():
        raise DataError(
            f"Minari data set {dataset_id!r} is not in {where}; fetch it with `minari download {dataset_id}`, or copy "
            f"its folder from another machine"
        )
    metadata = read_metadata(where)
    with clear_errors(dataset_id):
        if not all(isinstance(metadata.get(name), str) for name in ("observation_space", "action_space")):
            check_environments(dataset_id, metadata)  # minari makes the environment to obtain its spaces
        return minari.load_dataset(dataset_id)


@contextlib.contextmanager
def clear_errors(dataset_id: str) -> Iterator[None]:
    """Turn any exception that minari or its dependencies raise into one clear message; silence their warnings.

    Raises:
        DataError: naming the data set, its folder and what to do.
    """
    try:
        with quiet():
            yield
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # h5py, json and minari's own checks raise many types, bare AssertionErrors included
        raise DataError(
            f"Minari data set {dataset_id!r} cannot be read from {folder(dataset_id)} ({shown(error)}); incomplete or "
            f"damaged? Remove the folder and fetch it again with `minari download {dataset_id}`"
        ) from None


def read_metadata(where: Path) -> dict[str, Any]:
    """The contents of `metadata.json`, with the required entries checked."""
    file = where / "metadata.json"
    metadata = read_json(file)
    if not isinstance(metadata, dict):
        raise DataError(f"{file} should hold the metadata of a Minari data set, found {type(metadata).__name__}")
    needed = ("dataset_id", "minari_version", "data_format", "total_episodes", "total_steps")
    if missing := [key for key in needed if key not in metadata]:
        raise DataError(f"{file}: expected {', '.join(needed)}; {', '.join(missing)} missing. Cut off or damaged?")
    for key in ("total_episodes", "total_steps"):
        if type(metadata[key]) is not int or metadata[key] < 1:
            raise DataError(f"{file}: {key!r} should be a whole number of at least 1, found {metadata[key]!r}")
    # Checked before minari allocates memory for that many episodes.
    size = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    if metadata["total_episodes"] * SMALLEST_EPISODE > size:
        raise DataError(
            f"{file}: 'total_episodes' is {metadata['total_episodes']}, more than fit into the {size} bytes of {where}"
        )
    return metadata


def check_environments(dataset_id: str, metadata: dict[str, Any]) -> None:
    """Refuse environments that would call or open something only the data set names; see `check_recorded`."""
    where = f"Minari data set {dataset_id!r}"
    for name in ("env_spec", "eval_env_spec"):
        check_recorded(metadata.get(name), where)


def shown(error: Exception) -> str:
    """Another library's error on one line."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200)
