"""What `drol train` says at the end of runs, and records of where they ran."""

import platform
import statistics
import sys
from importlib import metadata
from typing import Any

from drol.cli.options import cores
from drol.environments.named import is_module
from drol.report.figure import MEASURES, RULES, figure

PACKAGES = (
    *("drol", "jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint"),
    *("ogbench", "gymnasium", "mujoco", "d4rl", "free-mujoco-py", "minari"),
)


def report(runs: list[Any], outcomes: list[Any]) -> int:
    """Say how it went and what to do next; the exit status."""
    updates, figures = runs[0].settings.updates, []
    for run, outcome in zip(runs, outcomes, strict=True):
        name = f"{run.folder.path}: " if len(runs) > 1 else ""
        if outcome.divergence is not None:
            print(f"drol: error: {name}{outcome.divergence}", file=sys.stderr)
        elif outcome.stopped_by is None and (quoted := figure(run.folder.metrics.read())) is not None:
            count = quoted.evaluations
            which = "the last evaluation" if RULES[quoted.measure] == 1 else f"the last {count} evaluations"
            said = f"mean {MEASURES[quoted.measure]} of {which}: {quoted.value:.3f}"
            print(f"{name}{said} ({quoted.episodes} episodes, seed {run.settings.seed})")
            figures.append(quoted.value)
    if signals := [outcome.stopped_by for outcome in outcomes if outcome.stopped_by is not None]:
        furthest = max(int(outcome.state.step) for outcome in outcomes if outcome.stopped_by is not None)
        print(f"stopped at update {furthest} of {updates}; continue with the same command and --resume")
        # What a shell reports for a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM.
        return 128 + signals[0]
    if len(figures) > 1 and len({run.settings.seed for run in runs}) == len(runs):
        spread = statistics.stdev(figures)
        print(f"over {len(figures)} seeds: {statistics.fmean(figures):.3f}, standard deviation {spread:.3f}")
    if len(runs) == 1 and outcomes[0].divergence is None:
        folder = runs[0].folder
        named = (runs[0].policy_facts or {}).get("environment")
        env = f" --env {named['id']}" if named is not None and is_module(named) else ""
        how = f"evaluate it with: drol evaluate {folder.path} --episodes 50{env}"
        print(f"policy: {folder.policy}   {how if runs[0].evaluate else 'load it with drol.load_policy'}")
    return 1 if any(outcome.divergence is not None for outcome in outcomes) else 0


def continued(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a resumed run, with what it is continued on; says where that differs."""
    now = machine()
    for name in ("versions", "device", "machine"):
        if config[name] != now[name]:
            print(f"note: {name} differ from the run's start; results may differ in rounding", file=sys.stderr)
    return config | {"resumes": [*config.get("resumes", []), now]}


def machine() -> dict[str, Any]:
    """Versions and hardware, for the record."""
    import jax

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    device = jax.devices()[0]
    return {
        "versions": versions | {"python": platform.python_version()},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": {"cores": cores(), "processor": platform.machine(), "system": platform.system()},
        "command": sys.argv[1:],
    }
