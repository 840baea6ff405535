"""Commands that pretend to train and collect, for comparisons of runs."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.helpers.made_up_runs import write_run

GIVEN = ("--algorithms", "drol,fql", "--updates", 40, "--eval-every", 10, "--seeds", "0-2")
"""What a comparison is asked for."""

VARIED = {"chunk": "--chunk", "num_candidates": "--num-candidates"}
"""What may be varied, and the option of `drol train`."""

SHA = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
"""Of what the pretended collection writes."""


def stand_in():
    """What takes the place of `drol train` and `drol collect`: notes its arguments, then behaves as the plan says."""
    root = Path(sys.argv[1])
    with open(root / "calls.jsonl", "a") as file:
        file.write(json.dumps(sys.argv[2:]) + "\n")
    options = dict(zip(sys.argv[4::2], sys.argv[5::2], strict=False))
    plan = json.loads((root / "plan.json").read_text())
    if sys.argv[2] == "collect":
        Path(options["--out"]).parent.mkdir(exist_ok=True)
        Path(options["--out"]).write_text("data")
        return 0
    behaviour = plan.get(options["--algorithm"], "finish")
    updates, sha = int(options["--updates"]), plan["sha"]
    values = {name: int(options[option]) for name, option in VARIED.items() if option in options}
    runs = [Path(options["--out"]) / f"seed{seed}" for seed in options["--seeds"].split(",")]
    if behaviour == "killed" and not (root / "killed").exists():
        write_run(runs[0], 0.5, updates=updates, sha=sha)
        (root / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "fail":
        print("made up", file=sys.stderr)
        return 1
    if behaviour == "cores":
        time.sleep(0.5)  # until they have been divided
        print(json.dumps(sorted(os.sched_getaffinity(0))))
    if behaviour == "wait" and not runs[0].exists():
        received = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: received.append(number))
        write_run(runs[0], 0.5, updates=updates, sha=sha)
        (root / f"waiting-{options['--algorithm']}").touch()
        while len(list(root.glob("waiting-*"))) < plan.get("together", 1):
            time.sleep(0.01)
        os.kill(os.getppid(), plan["signal"])
        while not received:
            time.sleep(0.01)
        return 128 + received[0]
    for seed, path in enumerate(runs):
        write_run(
            path,
            *[0.5] * (updates // 10),
            seed=seed,
            updates=updates,
            diverged=behaviour == "diverge",
            sha=sha,
            **values,
        )
    return 1 if behaviour == "diverge" else 0
