"""What to say where defaults stand in for published numbers."""

from collections.abc import Collection

from drol.presets.sources import TITLES
from drol.presets.tables import preset_for

ADVICE = {
    "drol": "tune --bc-coef first, from 0.03 to 10, with K = 16",
    "bc": "it has nothing to tune",
    "flow-bc": "it has nothing to tune",
    "iql": "tune --inverse-temperature first; published: 0.3 to 10",
    "rebrac": "tune --alpha-actor first, then --alpha-critic; published: 0.001 to 1, and 0 to 0.5",
    "fawac": "tune --inverse-temperature first; published: the grid 0.3, 1, 3, 10, and on adroit 0.03 to 3",
    "fbrac": "tune --alpha first; published: a grid from 1 to 300, and on adroit from 1000 to 30000",
    "ifql": "try --num-samples 32, 64 and 128, which are the published ones",
    "sorl": "tune --q-coef first; published: 10 to 500",
    "deflow": "tune --target-divergence first; published: 0.001 to 0.015",
    "fql": "tune --alpha first; published: 3 to 1000, and on adroit 3000 to 30000",
    "reform": "one set of values is published for all tasks, and --q-coef hardly matters under Adam",
    "meanflow-ql": "tune --alpha first; published: 2000 and 6000, both on humanoidmaze",
}
"""For tasks without a preset, by algorithm: what to tune first, and the published grid or range of values."""


def note(task: str, algorithm: str, label: str, given: Collection[str] = ()) -> str | None:
    """What to know before training: what published numbers are missing, what to tune, what published runs had beside.

    Args:
        task: the task's full name.
        algorithm: a registered name.
        label: the task's name for people.
        given: hyperparameters whose values the user chose.

    Returns:
        One line; None where the preset brings everything about.
    """
    preset, title = preset_for(task, algorithm), TITLES.get(algorithm, algorithm)
    advice = f"; {ADVICE[algorithm]}" if algorithm in ADVICE else ""
    if preset is None:
        return f"note: no hyperparameters are published for {label}, so {title}'s defaults apply{advice}"
    missing = [name for name in preset.unknown if name not in given]
    if not missing and preset.beside is not None:
        return f"note: {title}'s values for {label} are those of {preset.source}, where {preset.beside}"
    if not missing:
        return None
    names, defaults = " and ".join(missing), "default applies" if len(missing) == 1 else "defaults apply"
    return f"note: {title}'s {names} for {label}: {preset.source}; the {defaults}{advice}"
