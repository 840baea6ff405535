"""`drol train` on disks that refuse."""

import os
import resource
import shutil
import signal
import sys

from drol.cli.main import main
from drol.experiment.progress import RunProgress

AT = 20
"""The update after which the disk refuses; the next checkpoint is due at 30."""


def full(_):
    """Every file that is written in one piece and every one of tensorstore's ends early, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def locked(run):
    for folder, _, _ in os.walk(run):
        os.chmod(folder, 0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)  # permissions mean nothing to root


def removed(run):
    shutil.rmtree(run)


def renamed(run):
    os.rename(run, f"{run}-renamed")


FAULTS = {fault.__name__: fault for fault in (full, locked, removed, renamed)}


def stand_in():
    """`drol train`, whose disk refuses after an update."""
    fault, run, *arguments = sys.argv[1:]
    write = RunProgress.write

    def writing(self, update, metrics):
        write(self, update, metrics)
        if update == AT:
            FAULTS[fault](run)

    RunProgress.write = writing
    return main(["train", *arguments, "--out", run])
