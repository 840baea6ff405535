"""What is published for one method on one family of tasks."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from drol.presets.sources import TITLES

Mark = Literal["borrowed", "inferred", "doubtful", "unknown"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """One method's hyperparameters on one family of tasks.

    Attributes:
        family: what it is called.
        algorithm: whose fields these are.
        pattern: matches the names of its tasks.
        values: the published fields; of those that many methods share, the ones that differ from the defaults.
        source: where they come from, or why they are unknown.
        mark: how they were come by, where they are not simply published. "unknown": the defaults stand in.
        unknown: the fields that are tuned per family, and whose values here are not known.
        tuned: what DROL*, whose K (and once bc_coef) was tuned per task, has instead; None where none is published.
        beside: what the published runs had that these values do not bring about, in words.
        at_size: further fields by the name of a size, for runs of that size only.
    """

    family: str
    algorithm: str
    pattern: str
    values: Mapping[str, Any]
    source: str
    mark: Mark | None = None
    unknown: tuple[str, ...] = ()
    tuned: Mapping[str, Any] | None = None
    beside: str | None = None
    at_size: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def hyperparameters(self, *, tuned: bool = False, size: str | None = None) -> dict[str, Any]:
        """The fields to build the algorithm with: DROL(16)'s, or DROL*'s with `tuned`.

        Raises:
            ValueError: if DROL* is asked for and not published, or the algorithm is another one.
        """
        if tuned and self.tuned is None:
            if self.algorithm != "drol":
                title = TITLES.get(self.algorithm, self.algorithm)
                raise ValueError(f"--tuned is for DROL alone (DROL*), and the algorithm is {title}; leave --tuned out")
            raise ValueError(f"no DROL* is published for {self.family}; leave --tuned out, or name --num-candidates")
        further = {} if size is None else self.at_size.get(size, {})
        return {**self.values, **further, **((self.tuned or {}) if tuned else {})}
