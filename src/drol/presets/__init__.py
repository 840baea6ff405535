"""Look-up of published hyperparameters, and sizes of runs."""

from drol.algorithms.registry import TITLES
from drol.presets.look_up import note, preset_for, published
from drol.presets.look_up import preset_for as preset
from drol.presets.protocols import PROTOCOLS, has_sparse_rewards, protocol_presets
from drol.presets.sizes import SIZES, Size
from drol.published import Preset, Published

__all__ = [
    "PROTOCOLS",
    "SIZES",
    "TITLES",
    "Preset",
    "Published",
    "Size",
    "has_sparse_rewards",
    "note",
    "preset",
    "preset_for",
    "protocol_presets",
    "published",
]
