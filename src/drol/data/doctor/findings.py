"""What an examination finds, and the report that holds it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the gravest."""

SHOWN_ROWS = 5
"""Row numbers a finding names; `count` says how many there are in all."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing an examination found.

    Attributes:
        name: the check's own name; several findings may share it (one an array, say).
        severity: an error spoils training; a warning may; a note is worth knowing.
        what: what was found.
        why: why it matters.
        remedy: how to mend it.
        rows: the first few rows, in the source's own numbering; empty where it concerns no single row.
        count: rows in all.
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
        findings: the gravest first.
        coverage: figures on episodes, returns, actions and on how many ways the data act in one state.
    """

    where: str
    facts: dict[str, Any]
    findings: tuple[Finding, ...]
    coverage: dict[str, Any]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def verdict(self) -> str:
        """One line."""
        counts = [(len(self.of(severity)), severity) for severity in SEVERITIES]
        listed = ", ".join(f"{n} {severity}{'s' if n != 1 else ''}" for n, severity in counts if n) or "nothing found"
        judged = "not fit for training" if counts[0][0] else "usable, look at the warnings" if counts[1][0] else "sound"
        return f"{self.where}: {judged} ({listed})"

    def as_json(self) -> dict[str, Any]:
        """The whole report in plain types; numbers that are not finite become None."""
        findings = [dataclasses.asdict(finding) for finding in self.findings]
        whole = {"where": self.where, "verdict": self.verdict, "facts": self.facts}
        return plain(whole | {"findings": findings, "coverage": self.coverage})


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The gravest first, otherwise in the order found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def plain(value: Any) -> Any:
    """`value` in types JSON knows; None for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
