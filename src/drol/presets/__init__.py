"""Tasks, published hyperparameters of every method, and sizes of runs."""

from drol.presets.advice import ADVICE, note
from drol.presets.preset import Preset
from drol.presets.sizes import SIZES, Size
from drol.presets.sources import AUTHORS, BORROWED, TITLES
from drol.presets.tables import FIELDS, PRESETS, preset_for

__all__ = [
    "ADVICE",
    "AUTHORS",
    "BORROWED",
    "FIELDS",
    "PRESETS",
    "SIZES",
    "TITLES",
    "Preset",
    "Size",
    "note",
    "preset_for",
]
