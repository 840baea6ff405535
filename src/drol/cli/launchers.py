"""The options that say where a grid's cells are trained, and the launcher that they make."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drol.cli.numbers import count
from drol.errors import UsageError
from drol.extras import lazy, require_all
from drol.files import write_atomic
from drol.launchers import scripts
from drol.launchers.job import Job, Launcher
from drol.launchers.local import Commands

if TYPE_CHECKING:
    from drol.launchers import on_ray, slurm
else:
    on_ray, slurm = lazy("drol.launchers.on_ray"), lazy("drol.launchers.slurm")

NAMES = ("local", "slurm", "ray")

CLUSTER = "slurm"
"""What submitit submits to."""

NEEDS = {"slurm": {"submitit": "slurm"}, "ray": {"ray": "ray"}}
"""The packages that a launcher needs, and the extra that has them."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("where cells are trained")
    group.add_argument(
        "--jobs",
        type=count(),
        default=1,
        metavar="N",
        help="local: cells trained at once, each on its share of the cores and devices,\nwith a log next to its "
        "folder; slurm: cells that share an allocation, and its\ndevice (default: 1)",
    )
    group.add_argument(
        "--launcher",
        choices=NAMES,
        default="local",
        help="local: in processes here; slurm: as a job array, by submitit; ray: as Ray tasks,\nhere or on a cluster "
        "(default: local)",
    )
    group.add_argument(
        "--launcher-option",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the launcher or script; may be repeated. slurm: submitit's, as\ntimeout_min=240, "
        "slurm_partition=gpu, gpus_per_node=1; ray: address, and num_cpus,\nnum_gpus, memory of each cell; sbatch: its "
        "own, as partition=gpu; jobset: image,\nclaim, gpus, cpus, parallelism; skypilot: bucket, accelerators, cloud, "
        "cpus,\nnum_nodes, setup",
    )
    group.add_argument(
        "--emit",
        choices=tuple(scripts.SCRIPTS),
        help="train nothing, but write a script that does: DIR/cells.sbatch (a Slurm array),\na Kubernetes JobSet, "
        "or a SkyPilot task",
    )


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name.strip(), value


def check(parsed: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and launchers that are not installed.

    Raises:
        MissingExtraError: naming what to install.
        UsageError: saying what to leave out, or what a script needs.
    """
    if parsed.emit is not None and parsed.launcher != "local":
        raise UsageError("--emit writes a script instead of launching: leave --launcher out")
    if parsed.emit is None and parsed.launcher == "local" and parsed.launcher_option:
        raise UsageError("the local launcher has no options: leave --launcher-option out, or name a --launcher")
    if parsed.emit is not None:
        scripts.SCRIPTS[parsed.emit]([Job("any", ("drol",))], dict(parsed.launcher_option))
    require_all(NEEDS.get(parsed.launcher, {}))


def launcher(parsed: argparse.Namespace, commands: Commands) -> Launcher:
    """The launcher that is asked for.

    Args:
        parsed: the command line.
        commands: those of this machine; a signal that comes to them stops other launchers, too.

    Raises:
        UsageError: for an option that it does not have.
    """
    options = dict(parsed.launcher_option)
    if parsed.launcher == "local":
        return commands
    if parsed.launcher == "ray":
        address = options.pop("address", None)
        resources = {name: _number(name, value, on_ray.RESOURCES) for name, value in options.items()}
        return on_ray.Ray(resources, address=address, raise_if_stopped=commands.raise_if_stopped)
    return slurm.Slurm(
        (parsed.out / "slurm").resolve(),
        {name: _typed(value) for name, value in options.items()},
        together=parsed.jobs,
        raise_if_stopped=commands.raise_if_stopped,
        cluster=CLUSTER,
    )


def emit(kind: str, jobs: list[Job], options: list[tuple[str, str]], folder: Path) -> None:
    """Write a script, and say how to submit it.

    Raises:
        UsageError: for an option that the script does not have.
    """
    if not jobs:
        print("every cell is finished; no script was written")
        return
    text = scripts.SCRIPTS[kind](jobs, dict(options))
    path = folder / f"cells{scripts.SUFFIXES[kind]}"
    write_atomic(path, lambda file: file.write(text.encode()))
    print(f"wrote {path} with {len(jobs)} cells; submit it with `{scripts.SUBMITTED_BY[kind].format(path)}`")


def _number(name: str, value: str, known: Any) -> float:
    if name not in known:
        raise UsageError(f"ray has no option {name!r}; it takes address, {', '.join(known)}")
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{name} should be a number, found {value!r}") from None


def _typed(value: str) -> int | float | str:
    """A value as submitit expects it: a number where it is one."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
