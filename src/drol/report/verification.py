"""Verifying certificates: their records are checked, and their episodes rolled out again."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from scipy import stats

from drol.environments.limits import EvaluationLimits
from drol.environments.results import as_record
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.files import counted, read_json, sha256
from drol.machine import SIMULATORS, machine
from drol.policy.files import load_policy
from drol.processes import cores
from drol.report.certificate import (
    FIELDS,
    RECORDS,
    Certificate,
    digest,
    evaluations,
    expected_seed,
    figure_of,
    read_certificate,
    scored_updates,
)
from drol.seeding import episode_seed
from drol.signals import stop_requests
from drol.sources import environment_in_file
from drol.training.background import cpu
from drol.training.folder import RunFolder

Verdict = Literal["identical", "consistent", "contradicted"]

LEVEL = 0.001
"""A statistical test contradicts below this probability."""

RESAMPLES = 9_999
"""Of the permutation test: enough for probabilities a tenth of `LEVEL`."""

FEWEST = 11
"""With fewer episodes that differ, all of them in one direction, the binomial test cannot fall below `LEVEL`."""

RELATIVE = 1e-6
"""How far a mean may be from the mean of its episodes, which were added in another order."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was found about a certificate.

    Attributes:
        verdict: `identical`: all episodes repeat bit for bit. `consistent`: some differ, as on another processor, but
            no more than chance explains. `contradicted`: something is not as stated.
        contradictions: what, and where.
        notes: what else differs from when the run was made.
        episodes: how many were rolled out again.
        repeated: how many of them were identical.
        success_test: probability, by the exact binomial test on the episodes whose verdict changed, of a difference in
            success as large; None if there was nothing to test.
        return_test: the same of the returns, by a permutation test on the differences of the same episodes.
    """

    verdict: Verdict
    contradictions: tuple[str, ...]
    notes: tuple[str, ...]
    episodes: int
    repeated: int
    success_test: float | None
    return_test: float | None


def verify(
    path: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    episodes: int | None = None,
    environment: EnvironmentSpec | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Verify a certificate: check all that it says, then roll its episodes out again with the run's policies.

    Args:
        path: what `drol.certify` wrote.
        run: the run's folder; by default the folder that holds the certificate.
        episodes: how many of each evaluation to roll out again, beginning with the first; all by default, 0 for none.
        environment: where, if the certificate names one of your own modules, which no file may import.
        workers: number of processes; defaults to one per core, at most 8.
        progress: called with (episodes done, episodes in all).

    Raises:
        DataError: if the file is no certificate, there is no run, or the environment cannot be made.
        StoppedError: on Ctrl-C or SIGTERM.
    """
    certificate = read_certificate(path)
    folder = RunFolder(Path(path).parent if run is None else Path(run))
    if not any((folder.path / name).exists() for name in RECORDS):
        raise DataError(f"{folder.path} holds no run; name the folder of the certified run with run=", _no_run(folder))
    found = [*_record_contradictions(certificate), *_file_contradictions(certificate, folder)]
    notes = list(_notes(certificate))
    found += _environment_contradictions(certificate)
    if found or episodes == 0:
        return _verification(found, notes, [], strict=False)
    spec = environment or environment_in_file(certificate.content["configuration"].get("evaluated_in"), str(path))
    # However long it takes: only all episodes will do.
    stated = {"steps": (certificate.content["protocol"]["limits"] or {}).get("steps"), "seconds": None}
    limits = EvaluationLimits(**stated)
    with stop_requests(), Evaluator(spec, workers=workers or min(cores(), 8), limits=limits) as evaluator:
        found += _fact_contradictions(certificate, evaluator.describe())
        pairs = [] if found else _rolled_out(certificate, folder, evaluator, episodes, progress)
    return _verification(found, notes, pairs, strict=not notes)


def _no_run(folder: RunFolder) -> str:
    return f"{folder.path} holds no run; name the folder of the certified run with --run"


Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
"""An episode as certified, and the same as rolled out again."""


def _verification(
    contradictions: Sequence[str], notes: Sequence[str], pairs: Sequence[Pair], *, strict: bool
) -> Verification:
    """The verdict; where nothing is different here, a single episode that differs contradicts."""
    found = list(contradictions)
    different = [(then, now) for then, now in pairs if not _same(then, now)]
    success, returns = _success_test(pairs), _return_test(pairs)
    if strict and different:
        then, now = different[0]
        found.append(
            f"{counted(len(different), 'episode')} of {len(pairs)} differ, although processor and versions are those "
            f"of the run: first episode {then['episode']} of update {then['update']}, with return {then['return']} and "
            f"length {then['length']} there, {now['return']} and {now['length']} here"
        )
    for name, probability in (("success", success), ("returns", returns)):
        if probability is not None and probability <= LEVEL:
            found.append(f"{name} of the same episodes differ more than chance explains (p = {probability:.2g})")
    verdict: Verdict = "contradicted" if found else ("consistent" if different or not pairs else "identical")
    said = list(notes)
    if verdict == "consistent" and 0 < len(pairs) < FEWEST:
        said.append(f"{counted(len(pairs), 'episode')} are too few to contradict anything by statistics")
    repeated = len(pairs) - len(different)
    return Verification(verdict, tuple(found), tuple(said), len(pairs), repeated, success, returns)


def _same(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return all(then.get(name) == now.get(name) for name in FIELDS)


def _success_test(pairs: Sequence[Pair]) -> float | None:
    """Exact binomial test: of the episodes whose verdict changed, either direction is as likely as the other."""
    verdicts = [(then.get("success"), now.get("success")) for then, now in pairs]
    judged = [(then, now) for then, now in verdicts if then is not None and now is not None]
    if not judged:
        return None
    changed = [then for then, now in judged if then != now]
    return float(stats.binomtest(sum(changed), len(changed)).pvalue) if changed else 1.0


def _return_test(pairs: Sequence[Pair]) -> float | None:
    """Permutation test: the difference of the same episode's two returns is as likely to have either sign."""
    returns = [(then.get("return"), now.get("return")) for then, now in pairs]
    differences = np.array([now - then for then, now in returns if then is not None and now is not None])
    if len(differences) < 2:
        return None
    if not differences.any():
        return 1.0
    test = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(test.pvalue)


def _record_contradictions(certificate: Certificate) -> Iterator[str]:
    """Where the certificate contradicts itself."""
    content = certificate.content
    if content.get("sha256") != digest(content):
        yield "the certificate's own checksum does not match: it was changed after it was written"
    yield from _update_contradictions(certificate)
    yield from _episode_contradictions(certificate)
    of = figure_of(certificate.evaluations)
    claim = content["claim"]
    if of is None or of.measure != claim["measure"]:
        yield f"the evaluations have no {claim['measure']}, which the score is said to be"
        return
    if not _near(of.value, claim["score"]):
        said = f"but the score is said to be {claim['score']:.6g}"
        yield f"the last evaluations have a mean {of.measure} of {of.value:.6g}, {said}"
    if (updates := scored_updates(certificate.evaluations, of)) != certificate.updates:
        yield f"the last evaluations are at updates {updates}, but the score is said to be of {certificate.updates}"
    if of.episodes != claim["episodes"]:
        yield f"the last evaluations have {of.episodes} episodes, but {claim['episodes']} are stated"


def _update_contradictions(certificate: Certificate) -> Iterator[str]:
    """Updates that are missing, left out, or not what was planned."""
    protocol, configured = certificate.content["protocol"], certificate.content["configuration"]["settings"]
    planned, every = protocol["planned_updates"], protocol["eval_every"]
    if (planned, every) != (configured.get("updates"), configured.get("eval_every")):
        yield "planned updates and evaluations are not those of the configuration"
    if certificate.seed != configured.get("seed"):
        yield f"the seed is said to be {certificate.seed}, but the configuration has {configured.get('seed')}"
    last = max((line["update"] for line in certificate.evaluations), default=0)
    if min(protocol["done_updates"], last) < planned:
        yield f"the run ended at update {min(protocol['done_updates'], last):,}, but {planned:,} were planned"
    if every < 1:
        yield f"evaluations are said to be every {every} updates"
        return
    there = [line["update"] for line in certificate.evaluations]
    if there != sorted(set(there)):
        yield "an evaluation is listed twice, or out of order"
    for update in _scheduled(certificate.content["configuration"], planned, every):
        if update not in there:
            yield f"the evaluation at update {update:,} is left out"


def _scheduled(configuration: Mapping[str, Any], planned: int, every: int) -> list[int]:
    """The updates of all evaluations that were planned; of a run that continues another one, those of both."""
    start = configuration["settings"].get("start", 0)
    before = configuration.get("continues")
    known = before if isinstance(before, Mapping) else {}
    every_before, planned_before = known.get("eval_every"), known.get("updates")
    earlier = range(every_before, start + 1, every_before) if isinstance(every_before, int) and every_before > 0 else ()
    ends = [start] if start and start == planned_before and start not in earlier else []
    return [*earlier, *ends, *range(start + every, planned, every), planned]


def _episode_contradictions(certificate: Certificate) -> Iterator[str]:
    """Episodes that are missing, have other seeds, or do not add up to their evaluations."""
    listed = {episode["update"] for episode in certificate.episodes}
    if foreign := sorted(listed - {line["update"] for line in certificate.evaluations}):
        yield f"there are episodes of update {foreign[0]:,}, which has no evaluation"
    for line in certificate.evaluations:
        update, episodes = line["update"], certificate.episodes_at(line["update"])
        if "error" in line:
            continue  # no means were made from it
        if len(episodes) != line.get("episodes"):
            said = f"but {len(episodes)} are listed"
            yield f"the evaluation at update {update:,} had {line.get('episodes')} episodes, {said}"
        for number, episode in enumerate(episodes):
            expected = expected_seed(certificate.seed, update, number)
            if (episode["episode"], episode["seed"]) != (number, expected):
                yield (
                    f"episode {number} of update {update:,} should have the seed {expected}, but episode "
                    f"{episode['episode']} with seed {episode['seed']} is in its place: one was skipped or repeated"
                )
                break
        for name in ("return", "length", "success", "score"):
            values = [episode[name] for episode in episodes if episode.get(name) is not None]
            stated = line.get(name)
            if values and (stated is None or not _near(float(np.mean(values)), stated)):
                yield (
                    f"the episodes of update {update:,} have a mean {name} of {float(np.mean(values)):.6g}, but the "
                    f"evaluation is said to have {stated}"
                )


def _near(value: float, stated: float) -> bool:
    return abs(value - stated) <= RELATIVE * max(1.0, abs(value))


def _file_contradictions(certificate: Certificate, folder: RunFolder) -> Iterator[str]:
    """Files that are missing or changed, and records that say something else than the certificate."""
    files = certificate.content["files"]
    needed = [*RECORDS, *(f"policies/{update}/policy.json" for update in certificate.updates)]
    if absent := [name for name in needed if name not in files]:
        yield f"the certificate names no checksum of {absent[0]}"
    changed = False
    for name, expected in files.items():
        path = folder.path / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            yield f"{name} is outside the run's folder"
        elif not path.is_file():
            changed = True
            yield f"{path} is missing"
        elif sha256(path) != expected:
            changed = True
            yield f"{path} was changed: its SHA-256 is not the certificate's"
    if changed or absent:
        return
    if read_json(folder.config) != certificate.content["configuration"]:
        yield f"{folder.config} holds another configuration than the certificate"
    if evaluations(folder.metrics.read()) != certificate.evaluations:
        yield f"{folder.path / 'metrics.jsonl'} holds other evaluations than the certificate"
    kept = [{name: line[name] for name in ("update", *FIELDS) if name in line} for line in folder.evaluations.read()]
    if kept != certificate.episodes:
        number = next(
            (i for i, (a, b) in enumerate(zip(kept, certificate.episodes, strict=False)) if a != b), len(kept)
        )
        yield f"{folder.path / 'evaluations.jsonl'} and the certificate differ in episode {number + 1} of their lists"


def _environment_contradictions(certificate: Certificate) -> Iterator[str]:
    """Simulators of other versions, in which episodes cannot be expected to repeat."""
    there, here = certificate.content["machine"]["versions"], machine()["versions"]
    assert isinstance(here, dict)
    for name in SIMULATORS:
        if there.get(name) is not None and there[name] != here[name]:
            found = "is not installed here" if here[name] is None else f"is {here[name]} here"
            yield f"another environment: {name} was {there[name]} when the run was made, and {found}"


def _fact_contradictions(certificate: Certificate, facts: Mapping[str, Any]) -> Iterator[str]:
    """What the environment says about itself now, where it said something else."""
    stated = certificate.content["configuration"].get("environment") or {}
    for name, value in stated.items():
        here = list(facts[name]) if isinstance(facts.get(name), tuple) else facts.get(name)
        if here != value:
            yield f"another environment: its {name} was {value} when the run was made, and is {here} here"


def _notes(certificate: Certificate) -> Iterator[str]:
    """What may change rounding, and with it single episodes."""
    there, here = certificate.content["machine"], machine()
    versions = here["versions"]
    assert isinstance(versions, dict)
    differing = [
        name for name, value in there["versions"].items() if name not in SIMULATORS and versions.get(name) != value
    ]
    if differing:
        listed = ", ".join(f"{name} {there['versions'][name]} (here {versions.get(name)})" for name in differing)
        yield f"other versions: {listed}"
    if there.get("processor") is None:
        yield "the processor of the run is not on record"
    elif there["processor"] != here["processor"]:
        yield "another processor: single episodes may differ, since rounding does"
    for name in ("device", "machine"):
        if there.get(name) is not None and there[name] != here[name]:
            yield f"another {name}: {there[name]} there, {here[name]} here"


def _rolled_out(
    certificate: Certificate,
    folder: RunFolder,
    evaluator: Evaluator,
    most: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[Pair]:
    """The certified episodes and the same ones rolled out again."""
    pairs: list[Pair] = []
    parts = [certificate.episodes_at(update)[:most] for update in certificate.updates]
    total = sum(map(len, parts))
    # An accelerator rounds differently from the CPU, where evaluations in the background are made.
    device = cpu() if certificate.content["configuration"].get("eval_async") else None
    for update, certified in zip(certificate.updates, parts, strict=True):
        before = len(pairs)
        with jax.default_device(device):
            results = evaluator.run(
                load_policy(folder.evaluated_policy(update)).policy,
                episodes=len(certified),
                seed=episode_seed(certificate.seed, update),
                progress=None if progress is None else lambda done, _, before=before: progress(before + done, total),
            )
        pairs += zip(certified, map(as_record, results), strict=True)
    return pairs


def differences(first: Certificate, second: Certificate) -> Iterator[tuple[str, str, str]]:
    """Where two certificates differ: a name, and the value in each."""
    for part in ("claim", "protocol", "configuration", "machine"):
        one, other = _flat(first.content[part]), _flat(second.content[part])
        for name in dict.fromkeys([*one, *other]):
            if one.get(name) != other.get(name):
                yield f"{part}.{name}", _shown(one.get(name)), _shown(other.get(name))


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{prefix}{name}.") if isinstance(inner, Mapping) else {f"{prefix}{name}": inner}
    return flat


def _shown(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def score_test(first: Certificate, second: Certificate) -> float | None:
    """Probability of a difference as large between the episodes behind two scores, by a permutation test.

    Returns:
        None if the scores are of different measures.
    """
    measure = first.content["claim"]["measure"]
    if measure != second.content["claim"]["measure"]:
        return None
    samples = [
        [float(e[measure]) for update in one.updates for e in one.episodes_at(update) if e.get(measure) is not None]
        for one in (first, second)
    ]
    if min(map(len, samples)) < 2:
        return None
    test = stats.permutation_test(
        samples, lambda a, b: np.mean(a) - np.mean(b), n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(test.pvalue)
