"""What is published for a method on a task, and the note to print where defaults are used instead."""

import re
from collections.abc import Collection, Iterable

from drol.algorithms.registry import ALGORITHMS, TITLES, algorithm_class
from drol.presets.protocols import protocol_presets
from drol.published import Preset, Published


def published(algorithm: str) -> Published | None:
    """What is published about an algorithm. Imports its module, and with it jax.

    Args:
        algorithm: a registered name, or the `module:Class` of an algorithm outside this library.

    Returns:
        None if nothing is published, or the name is unknown.
    """
    known = algorithm in ALGORITHMS or ":" in algorithm
    return algorithm_class(algorithm).published if known else None


def preset_for(task: str, algorithm: str = "drol", protocol: str | None = None) -> Preset | None:
    """The preset of a task; its `mark` says if the values are not simply published ones.

    Args:
        task: the name of a task, with or without its number.
        algorithm: as in `published`.
        protocol: `qc` or `qam`, whose presets have chunks; by default each method's own paper.

    Returns:
        None if nothing is published for the task.
    """
    found = published(algorithm)
    if protocol is None:
        presets: Iterable[Preset] = () if found is None else found.presets
    else:
        presets = protocol_presets(protocol, algorithm)
    return next((preset for preset in presets if re.fullmatch(preset.pattern, task)), None)


def note(task: str, algorithm: str, label: str, given: Collection[str] = (), protocol: str | None = None) -> str | None:
    """What to know before training: which published numbers are missing, what to tune, how published runs differ.

    Args:
        task: the task's full name.
        algorithm: as in `published`.
        label: the task's name in messages.
        given: hyperparameters whose values the user chose.
        protocol: as in `preset_for`.

    Returns:
        One line; None if the preset holds everything that was published.
    """
    found, preset, title = published(algorithm), preset_for(task, algorithm, protocol), TITLES.get(algorithm, algorithm)
    advice = "" if found is None else f"; {found.advice}"
    if preset is None:
        return f"note: no hyperparameters are published for {label}, so {title}'s defaults apply{advice}"
    missing = [name for name in preset.unknown if name not in given]
    if not missing and preset.beside is not None:
        return f"note: {title}'s values for {label} are those of {preset.source}, where {preset.beside}"
    if not missing:
        return None
    names, defaults = " and ".join(missing), "default applies" if len(missing) == 1 else "defaults apply"
    return f"note: {title}'s {names} for {label}: {preset.source}; the {defaults}{advice}"
