"""Certificates: one file that binds the score of a run to the evidence for it."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drol.environments.episodes import EVALUATION
from drol.environments.rollout import SLOTS
from drol.errors import DataError
from drol.files import null_for_nan, read_json, refuse_folder, sha256, write_atomic
from drol.report.figure import MEASURES, Figure, figure, online
from drol.report.runs import read_run
from drol.seeding import episode_seed
from drol.training.folder import RunFolder
from drol.training.settings import LAST_EVALUATIONS

FORMAT = "drol-certificate"
VERSION = 1
NAME = "certificate.json"

PROVES = (
    "policies with these bytes, acting in this version of the environment on the seeds that follow without gap from "
    "the run's seed, score as stated"
)
CANNOT_PROVE = (
    "that the policies were trained on the data whose checksums are given",
    "that no other run was made and hidden",
)

RECORDS = ("config.json", "metrics.jsonl", "evaluations.jsonl")

PLACES = ("update", "step")
"""Where in training an evaluation was made."""

FIELDS = ("episode", "seed", "length", "return", "success", "score", "cut")
"""What a certificate says about an episode, after the update of its evaluation."""


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The content of a certificate; `verify` checks what it says.

    Attributes:
        content: as JSON values.
    """

    content: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.content["claim"]["seed"]

    @property
    def updates(self) -> list[int]:
        """Of the evaluations behind the score."""
        return self.content["claim"]["updates"]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Every evaluation, in the order of updates."""
        return self.content["evaluations"]

    @property
    def episodes(self) -> list[dict[str, Any]]:
        """Every episode as a line of `evaluations.jsonl`."""
        return [
            {name: value for name, value in zip(("update", *FIELDS), row, strict=True) if _is_said(name, value)}
            for row in self.content["episodes"]
        ]

    def episodes_at(self, update: int) -> list[dict[str, Any]]:
        """The episodes of one evaluation, in their order."""
        return [episode for episode in self.episodes if episode["update"] == update]

    def claim(self) -> str:
        """The score and what it was made from, in words."""
        claim = self.content["claim"]
        at = ", ".join(f"{update:,}" for update in claim["updates"])
        return (
            f"{claim['task']}, {claim['algorithm']}, seed {claim['seed']}: {MEASURES[claim['measure']]} "
            f"{claim['score']:.4g}, mean of the evaluations at updates {at} ({claim['episodes']} episodes)"
        )


def _is_said(name: str, value: object) -> bool:
    return value is not None or name not in ("score", "cut")


def certify(run: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Certificate:
    """Certify a finished run: bind its score to checksums, versions, every evaluation and every episode.

    Args:
        run: the run's folder.
        out: the file; `certificate.json` in the run's folder by default.

    Returns:
        What was written; `drol.verify` checks such a file.

    Raises:
        DataError: if the run is not finished, diverged, was never evaluated, or does not hold the policies of its last
            evaluations, because an earlier version trained it.
    """
    folder = RunFolder(Path(run))
    path = folder.path / NAME if out is None else Path(out)
    refuse_folder(path)
    record = read_run(folder.path)
    if record.state != "finished":
        raise DataError(
            f"{folder.path} is {record.state} at update {record.update:,} of {record.updates:,}; only finished runs "
            f"can be certified"
        )
    if record.figure is None:
        raise DataError(f"{folder.path} was never evaluated, so there is no score to certify")
    evaluated = evaluations(record.lines)
    updates = scored_updates(evaluated, record.figure)
    if missing := [update for update in updates if not folder.evaluated_policy(update).is_dir()]:
        raise DataError(
            f"{folder.path} does not hold the policy of its evaluation at update {missing[0]}, which runs keep from "
            f"version 0.2 on; train it again to certify it"
        )
    config = folder.read_config()
    content = {
        "format": FORMAT,
        "version": VERSION,
        "claim": {
            "task": record.task,
            "algorithm": record.algorithm,
            "seed": record.seed,
            "measure": record.figure.measure,
            "score": record.figure.value,
            "updates": updates,
            "episodes": record.figure.episodes,
        },
        "proves": PROVES,
        "cannot_prove": list(CANNOT_PROVE),
        "protocol": {
            "rule": f"mean of the last {LAST_EVALUATIONS} evaluations; no checkpoint is selected",
            "seeds": "SeedSequence([SeedSequence([seed, update]), 0x4556414C, episode]), each hashed to 32 bits",
            "slots": SLOTS,
            "limits": config.get("evaluation_limits"),
            "eval_every": config["settings"]["eval_every"],
            "planned_updates": record.updates,
            "done_updates": record.update,
        },
        "files": dict(_sums(folder, updates)),
        "machine": last_machine(config),
        "configuration": config,
        "evaluations": evaluated,
        "episodes": list(_rows(folder)),
    }
    content = null_for_nan(content)
    certificate = Certificate(content | {"sha256": digest(content)})
    write_atomic(path, lambda file: file.write(_text(certificate.content).encode()))
    return certificate


def evaluations(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the lines of `metrics.jsonl` say about evaluations."""
    found = []
    for line in lines:
        said = {
            name.removeprefix("evaluation/"): value for name, value in line.items() if name.startswith("evaluation/")
        }
        if said:
            found.append({name: line[name] for name in PLACES if name in line} | said)
    return found


def scored_updates(evaluated: Sequence[Mapping[str, Any]], of: Figure) -> list[int]:
    """The updates of the evaluations that a figure averages."""
    return [line["update"] for line in online(evaluated) if line.get(of.measure) is not None][-LAST_EVALUATIONS:]


def figure_of(evaluated: Sequence[Mapping[str, Any]]) -> Figure | None:
    """The figure that follows from evaluations."""
    return figure(
        {name if name in PLACES else f"evaluation/{name}": value for name, value in line.items()} for line in evaluated
    )


def expected_seed(run_seed: int, update: int, episode: int) -> int:
    """The seed of an episode of an evaluation: determined by the run's seed, so that none can be left out or chosen."""
    return episode_seed(episode_seed(run_seed, update), EVALUATION, episode)


def last_machine(config: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and hardware on which the run ended: those of its last resume, if there was one."""
    last = config["resumes"][-1] if config.get("resumes") else config
    return {name: last.get(name) for name in ("versions", "device", "machine", "processor")}


def _sums(folder: RunFolder, updates: Sequence[int]) -> Iterator[tuple[str, str]]:
    """The checksum of every file that is evidence, by its name inside the folder."""
    paths = [folder.path / name for name in RECORDS]
    # Of a run that learns online: every episode in which it did, and every step.
    paths += [path for path in (folder.path / "episodes.jsonl", *sorted(folder.steps.glob("*.npz"))) if path.is_file()]
    for update in updates:
        paths += sorted(folder.evaluated_policy(update).iterdir())
    for path in paths:
        yield path.relative_to(folder.path).as_posix(), sha256(path)


def _rows(folder: RunFolder) -> Iterator[list[Any]]:
    for episode in folder.evaluations.read():
        yield [episode["update"], *(episode.get(name) for name in FIELDS)]


def digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a certificate's content without its own: it reveals accidents, not intent."""
    kept = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _text(content: Mapping[str, Any]) -> str:
    """Indented JSON, with each episode on one line."""
    rows = ",\n".join("    " + json.dumps(row, allow_nan=False) for row in content["episodes"])
    text = json.dumps(dict(content) | {"episodes": []}, indent=2, allow_nan=False)
    return text.replace('"episodes": []', f'"episodes": [\n{rows}\n  ]') + "\n"


def read_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Read a certificate.

    Raises:
        DataError: if it is none, or of a newer version.
    """
    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not a certificate written by `drol certify`")
    if content.get("version") != VERSION:
        raise DataError(f"{path} is a certificate of version {content.get('version')!r}; this is version {VERSION}")
    try:
        _check(content)
    except (KeyError, TypeError, ValueError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is not a complete certificate ({said}); was it edited?") from None
    return Certificate(content)


SHAPES: dict[str, dict[str, tuple[type, ...]]] = {
    "claim": {
        "task": (str,),
        "algorithm": (str,),
        "seed": (int,),
        "measure": (str,),
        "score": (int, float),
        "updates": (list,),
        "episodes": (int,),
    },
    "protocol": {
        "limits": (dict, type(None)),
        "slots": (int,),
        "eval_every": (int,),
        "planned_updates": (int,),
        "done_updates": (int,),
    },
    "machine": {"versions": (dict,)},
    "configuration": {"settings": (dict,), "data": (dict,)},
}
"""What must be there for the checks to be made at all."""


def _check(content: Mapping[str, Any]) -> None:
    for part, shape in SHAPES.items():
        for name, kinds in shape.items():
            if type(content[part][name]) not in kinds:
                raise TypeError(f"{part}.{name} is a {type(content[part][name]).__name__}")
    if content["claim"]["measure"] not in MEASURES:
        raise ValueError(f"claim.measure is {content['claim']['measure']!r}")
    files = content["files"]
    if not isinstance(files, dict) or not all(type(value) is str for value in files.values()):
        raise TypeError("files should be checksums by name")
    for name in ("evaluations", "episodes"):
        if not isinstance(content[name], list):
            raise TypeError(f"{name} should be a list")
    if not all(isinstance(line, dict) and type(line.get("update")) is int for line in content["evaluations"]):
        raise TypeError("every evaluation should have an update")
    if not all(isinstance(row, list) and len(row) == 1 + len(FIELDS) for row in content["episodes"]):
        raise TypeError(f"every episode should have {1 + len(FIELDS)} entries")
    if not all(type(number) is int for row in content["episodes"] for number in row[:4]):
        raise TypeError("update, number, seed and length of an episode should be whole numbers")
    if not all(type(update) is int for update in content["claim"]["updates"]):
        raise TypeError("claim.updates should be whole numbers")
