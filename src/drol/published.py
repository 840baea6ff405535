"""Published hyperparameters, by method and by family of tasks."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Mark = Literal["borrowed", "inferred", "doubtful", "unknown"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """One method's hyperparameters on one family of tasks.

    Attributes:
        family: the family's name.
        algorithm: the algorithm whose fields these are.
        title: what papers call the algorithm.
        pattern: a regular expression for the names of the family's tasks.
        values: the published fields; of those that many methods share, only the ones that differ from the defaults.
        source: where the values come from, or why they are unknown.
        mark: how the values were obtained, if not simply published. With "unknown" the defaults are used.
        unknown: the fields that are tuned per family but whose values are not known for this one.
        tuned: the values of DROL*, whose K (and once bc_coef) was tuned per task; None if none are published.
        beside: other differences between the published runs and runs with these values, in words.
        at_size: further fields, by the name of a size, for runs of that size only.
        chunk: actions per plan in the published runs.
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
    chunk: int = 1

    def hyperparameters(self, *, tuned: bool = False, size: str | None = None) -> dict[str, Any]:
        """The fields to build the algorithm with: those of DROL(16), or with `tuned` those of DROL*.

        Raises:
            ValueError: with `tuned`, if no DROL* is published for this family or the algorithm is not DROL.
        """
        if tuned and self.tuned is None:
            if self.algorithm != "drol":
                raise ValueError(
                    f"--tuned applies to DROL only (DROL*), but the algorithm is {self.title}; leave --tuned out"
                )
            raise ValueError(f"no DROL* is published for {self.family}; leave --tuned out, or set --num-candidates")
        further = {} if size is None else self.at_size.get(size, {})
        return {**self.values, **further, **((self.tuned or {}) if tuned else {})}


@dataclasses.dataclass(frozen=True)
class Published:
    """What is published about a method.

    Attributes:
        advice: what to tune first, and the published grid or range of values, for tasks without a preset.
        fields: the hyperparameters that are tuned per family.
        presets: one for each family of tasks.
    """

    advice: str
    fields: tuple[str, ...] = ()
    presets: tuple[Preset, ...] = ()
