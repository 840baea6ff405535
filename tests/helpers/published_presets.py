"""What is published of each algorithm."""

from drol.algorithms.registry import ALGORITHMS
from drol.presets import published

PUBLISHED = {name: published(name) for name in ALGORITHMS}
PRESETS = {name: found.presets for name, found in PUBLISHED.items() if found.presets}
FIELDS = {name: PUBLISHED[name].fields for name in PRESETS}
