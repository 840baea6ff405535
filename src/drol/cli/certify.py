"""`drol certify`: bind the score of a run to the evidence for it, or compare two certificates."""

import argparse
from pathlib import Path

from drol.cli.terminal import SIMPLE, Column, Console, Table
from drol.errors import UsageError
from drol.report import certificate as certificates
from drol.report import verification


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: certificate.json in the run's folder)")
    parser.add_argument(
        "--diff",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="instead, show where two certificates differ, and whether chance explains their scores",
    )
    parser.epilog = (
        "The certificate holds checksums of the data, of the configuration and of the policies of the last three\n"
        "evaluations, the versions and the machine, all evaluations, and seed, length, return and verdict of every\n"
        "episode. `drol verify FILE` checks it."
    )


def run(parsed: argparse.Namespace) -> int:
    """Write a certificate, or compare two."""
    if (parsed.run is None) == (parsed.diff is None):
        raise UsageError("name a run to certify, or two certificates with --diff A B")
    if parsed.diff is not None:
        _compare(*map(certificates.read_certificate, parsed.diff))
        return 0
    certificate = certificates.certify(parsed.run, parsed.out)
    path = parsed.out or parsed.run / certificates.NAME
    print(f"{certificate.claim()}\ncertificate: {path}   verify it with: drol verify {path}")
    return 0


def _compare(first: certificates.Certificate, second: certificates.Certificate) -> None:
    table = Table(*(Column(name, overflow="fold") for name in ("what", "A", "B")), box=SIMPLE)
    rows = list(verification.differences(first, second))
    for row in rows:
        table.add_row(*row)
    if rows:
        Console().print(table)
    else:
        print("nothing differs but the episodes, if those do")
    probability = verification.score_test(first, second)
    if probability is None:
        print("the scores cannot be compared: they are of different measures, or of too few episodes")
    else:
        print(f"a difference of the scores as large has probability {probability:.2g} by chance (permutation test)")
