"""Published hyperparameters: of a method, and of one family of tasks."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Mark = Literal["borrowed", "inferred", "doubtful", "unknown"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """One method's hyperparameters on one family of tasks.

    Attributes:
        family: what it is called.
        algorithm: whose fields these are.
        title: what papers call the algorithm.
        pattern: matches the names of its tasks.
        values: the published fields; of those that many methods share, the ones that differ from the defaults.
        source: where they come from, or why they are unknown.
        mark: how they were obtained, where they are not simply published. "unknown": the defaults are used.
        unknown: the fields that are tuned per family, and whose values here are not known.
        tuned: what DROL*, whose K (and once bc_coef) was tuned per task, has instead; None where none is published.
        beside: how else the published runs differ from runs with these values, in words.
        at_size: further fields by the name of a size, for runs of that size only.
    """

    family: str
    algorithm: str
    title: str
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
                raise ValueError(
                    f"--tuned is for DROL alone (DROL*), and the algorithm is {self.title}; leave --tuned out"
                )
            raise ValueError(f"no DROL* is published for {self.family}; leave --tuned out, or name --num-candidates")
        further = {} if size is None else self.at_size.get(size, {})
        return {**self.values, **further, **((self.tuned or {}) if tuned else {})}


@dataclasses.dataclass(frozen=True)
class Published:
    """What is published of a method.

    Attributes:
        advice: what to tune first, and the published grid or range of values, for tasks without a preset.
        fields: what is tuned per family.
        presets: one for each family of tasks.
    """

    advice: str
    fields: tuple[str, ...] = ()
    presets: tuple[Preset, ...] = ()
