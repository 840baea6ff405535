"""Look-up of published hyperparameters, and sizes of runs."""

from drol.algorithms.registry import TITLES
from drol.presets.look_up import note, preset_for, published
from drol.presets.look_up import preset_for as preset
from drol.presets.sizes import SIZES, Size
from drol.published import Preset, Published

__all__ = ["SIZES", "TITLES", "Preset", "Published", "Size", "note", "preset", "preset_for", "published"]
