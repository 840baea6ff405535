"""What an examination finds, and the report that holds it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict, final

import numpy as np

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The most serious first."""

Plain = bool | int | float | str | list[Any] | tuple[Any, ...] | dict[str, Any] | np.ndarray | np.generic | None
"""What `plain` makes JSON of."""

SHOWN_ROWS = 5
"""The most row numbers that a finding lists; `count` says how many there are in all."""

SHOWN_DIMENSIONS = 8
"""The most dimensions that a finding lists."""


class Facts(TypedDict):
    """What was examined: its size (`bytes` of its arrays), and the seconds the examination took."""

    transitions: int
    episodes: int
    observation_dim: int | None
    action_dim: int | None
    bytes: int
    seconds: float


Modes = TypedDict(
    "Modes",
    {
        "queries": int,
        "neighbours": int,
        "spread": float,
        "modes": float,
        "modes_90%": float,
        "candidates_hint": int,
    },
)
"""How many modes the actions have in one state: see `drol.doctor.action_modes`."""


@final
class Empty(TypedDict):
    """Figures that could not be measured."""


@final
class Replayed(TypedDict):
    """Steps replayed in an environment, and how far they drift, in typical steps."""

    steps: int
    drift_median: float
    drift_max: float


@final
class Coverage(TypedDict):
    """What a data set contains. None means that the source does not record it; `replay` needs an environment."""

    episodes: int
    lengths: dict[str, float]
    returns: dict[str, float] | None
    ends_terminated: float
    ends_truncated: float | None
    rows_terminated: float
    actions: list[dict[str, float]]
    modes: Modes | None
    replay: NotRequired[Replayed | Empty]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing an examination found.

    Attributes:
        name: the check's name; several findings may share it (one for each array, for instance).
        severity: an error spoils training, a warning may spoil it, and a note is worth knowing.
        what: what was found.
        why: why it matters.
        remedy: how to fix it.
        rows: the first few rows, in the source's own numbering; empty if the finding is not about particular rows.
        count: how many rows there are in all.
    """

    name: str
    severity: Severity
    what: str
    why: str
    remedy: str
    rows: tuple[int, ...] = ()
    count: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of an examination.

    Attributes:
        where: the file or data set.
        facts: transitions, episodes, dimensions, bytes and the seconds the examination took.
        findings: the most serious first.
        coverage: figures on episodes, returns, actions and the number of action modes in one state; empty if the
            structure is broken.
    """

    where: str
    facts: Facts
    findings: tuple[Finding, ...]
    coverage: Coverage | Empty

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def verdict(self) -> str:
        """One line."""
        counts = [(len(self.of(severity)), severity) for severity in SEVERITIES]
        listed = ", ".join(f"{n} {severity}{'s' if n != 1 else ''}" for n, severity in counts if n) or "nothing found"
        judged = "not fit for training" if counts[0][0] else "usable, see the warnings" if counts[1][0] else "sound"
        return f"{self.where}: {judged} ({listed})"

    def as_json(self) -> dict[str, Any]:
        """The whole report in plain types; numbers that are not finite become None."""
        findings = [dataclasses.asdict(finding) for finding in self.findings]
        whole = {"where": self.where, "verdict": self.verdict, "facts": self.facts}
        return plain(whole | {"findings": findings, "coverage": self.coverage})


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The most serious first, otherwise in the order found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def dimensions(numbers: np.ndarray) -> str:
    """`dimension 3`, or `dimensions 1, 2, 3`, the first few of them."""
    shown = ", ".join(str(int(number)) for number in numbers[:SHOWN_DIMENSIONS])
    more = f", ... ({len(numbers)} in all)" if len(numbers) > SHOWN_DIMENSIONS else ""
    return f"dimension{'s' if len(numbers) != 1 else ''} {shown}{more}"


def plain(value: Plain) -> Any:
    """`value` in types that JSON supports; None for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
