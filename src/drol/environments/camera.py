"""What films an evaluation. Does not import JAX."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from drol.environments.results import EpisodeResult

Picture = UInt8[np.ndarray, "_ _ 3"]  # height, width, colours


@runtime_checkable
class Camera(Protocol):
    """Sees pictures of some episodes of an evaluation, in the order of their steps."""

    def wants(self, episode: int, step: int, ended: bool) -> bool:
        """Whether to render this moment of this episode."""
        ...

    def take(self, pictures: Mapping[int, Picture]) -> None:
        """The pictures of one moment, by episode."""
        ...

    def end(self, results: Sequence[EpisodeResult]) -> None:
        """The results of episodes that have ended since the last call."""
        ...
