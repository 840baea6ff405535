"""`drol verify`: check a certificate, and roll its episodes out again."""

import argparse
import dataclasses
from pathlib import Path

from drol.cli.numbers import count
from drol.experiment import needs
from drol.experiment.platform import check_platform
from drol.experiment.progress import counting
from drol.extras import require_all
from drol.files import counted, refuse_folder, write_json
from drol.report import certificate as certificates
from drol.report import verification
from drol.sources import environment_of

MEANING = {
    "identical": "every episode repeats bit for bit",
    "consistent": "nothing contradicts the certificate",
    "contradicted": "the certificate does not hold",
}


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument("certificate", type=Path, metavar="FILE", help="what `drol certify` wrote")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="the run's folder (default: the folder that holds the certificate)"
    )
    parser.add_argument(
        "--episodes",
        type=count(low=0),
        metavar="N",
        help="how many of each evaluation to roll out again, beginning with the first;\n0 only checks the records "
        "(default: all)",
    )
    parser.add_argument(
        "--env", metavar="ENV", help="the environment, if it is one of your own (module:Id-v0): no file may import it"
    )
    parser.add_argument("--workers", type=count(), metavar="W", help="processes (default: all cores, at most 8)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    parser.epilog = (
        "Identical: all episodes repeat bit for bit. Consistent: some differ, as is to be expected on another\n"
        "processor, but no more than chance explains (exact binomial test for success, permutation test for\n"
        f"returns, level {verification.LEVEL}). Contradicted: something is not as stated. Exit status: 1 if\n"
        "contradicted, else 0."
    )


def run(parsed: argparse.Namespace) -> int:
    """Verify the certificate, and say what was found."""
    check_platform()
    if parsed.json is not None:
        refuse_folder(parsed.json)
    if parsed.env is not None:
        require_all(needs.of_environment(parsed.env))
    certificate = certificates.read_certificate(parsed.certificate)
    print(certificate.claim())
    with counting("rolling out again") as progress:
        found = verification.verify(
            parsed.certificate,
            run=parsed.run,
            episodes=parsed.episodes,
            environment=None if parsed.env is None else environment_of(parsed.env),
            workers=parsed.workers,
            progress=progress,
        )
    _show(certificate, found)
    if parsed.json is not None:
        write_json(parsed.json, dataclasses.asdict(found) | {"claim": dict(certificate.content["claim"])})
    return 1 if found.verdict == "contradicted" else 0


def _show(certificate: certificates.Certificate, found: verification.Verification) -> None:
    for contradiction in found.contradictions:
        print(f"contradiction: {contradiction}")
    for note in found.notes:
        print(f"note: {note}")
    if found.episodes:
        tests = {"success": found.success_test, "returns": found.return_test}
        said = ", ".join(f"{name} p = {value:.2g}" for name, value in tests.items() if value is not None)
        print(f"{counted(found.episodes, 'episode')} rolled out again, {found.repeated} identical ({said})")
    elif not found.contradictions:
        print(f"{counted(len(certificate.episodes), 'episode')} on record, none rolled out again")
    print(f"{found.verdict}: {MEANING[found.verdict]}")
    if found.verdict != "contradicted" and not found.episodes:
        print("The records agree with each other; whether the policies score so, only rolling out can show.")
    elif found.verdict != "contradicted":
        print(f"This shows that {certificates.PROVES}.")
        print(f"It cannot show {', or '.join(certificates.CANNOT_PROVE)}.")
