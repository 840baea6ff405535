"""`drol evaluate`: roll out a trained policy and report its success rate."""

import argparse
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drol.cli.numbers import count, seed
from drol.cli.options import add_limits, limits_of
from drol.environments.camera import Camera
from drol.environments.limits import EvaluationLimits
from drol.environments.results import (
    EpisodeResult,
    as_record,
    finished,
    mean_return,
    mean_score,
    success_rate,
    unfinished,
)
from drol.errors import DataError, UsageError
from drol.experiment import needs
from drol.experiment.platform import check_platform
from drol.experiment.progress import counting
from drol.extras import lazy, require_all
from drol.files import counted, null_for_nan, refuse_folder, write_json
from drol.processes import cores
from drol.signals import stop_requests
from drol.sources import environment_in_file, environment_of, environment_of_task

if TYPE_CHECKING:
    from drol.environments import rollout
    from drol.environments.spec import EnvironmentSpec
    from drol.policy import Policy
    from drol.policy import files as policies
    from drol.policy.loaded import LoadedPolicy
    from drol.report import filming
else:
    rollout, policies = lazy("drol.environments.rollout"), lazy("drol.policy.files")
    filming = lazy("drol.report.filming")

KINDS = ("one", "centre", "best-of-n", "dense")


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument("path", type=Path, metavar="DIR|POLICY", help="a run folder or a policy folder")
    parser.add_argument(
        "--policy",
        choices=KINDS,
        help="one: one sample; centre: latent 0, the mean of a Gaussian; best-of-n: highest Q\n"
        "of 32 samples, or as many as the policy says; dense: the same among the 8 densest\n(default: as stored)",
    )
    parser.add_argument("--episodes", type=count(), default=50, metavar="N", help="how many episodes (default: 50)")
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="seed of episodes and latents (default: 0)")
    parser.add_argument(
        "--task",
        "--env",
        dest="environment",
        metavar="TASK",
        help="evaluate in this task or gymnasium environment (module:Id-v0),\ninstead of the policy's own",
    )
    parser.add_argument(
        "--workers",
        type=count(),
        default=min(cores(), 8),
        metavar="W",
        help="processes (default: all cores, at most 8)",
    )
    parser.add_argument(
        "--replan",
        type=count(),
        metavar="M",
        help="execute the first M actions of a plan, then plan again (default: as stored)",
    )
    parser.add_argument(
        "--video",
        type=Path,
        metavar="FILE",
        help="film the first episodes, at most nine, side by side: .mp4, .webp or .gif",
    )
    parser.add_argument(
        "--video-height", type=count(), default=240, metavar="PX", help="of each episode's picture (default: 240)"
    )
    parser.add_argument("--video-every", type=count(), default=1, metavar="M", help="film every M-th step (default: 1)")
    add_limits(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and every episode to FILE")
    parser.epilog = (
        "Exit status: 0 after a complete evaluation, 1 if --max-seconds ended it; FILE then holds no figures."
    )


def run(parsed: argparse.Namespace) -> int:
    """Evaluate and print the figures, and write them if requested."""
    check_platform()
    if parsed.json is not None:
        refuse_folder(parsed.json)
    if parsed.video is not None:
        filming.check_film(parsed.video)
    loaded = _loaded(parsed)
    spec = _environment(parsed.environment, loaded.facts, parsed.path)
    if spec is None:
        raise DataError(f"{parsed.path} does not name an environment to evaluate in; give one with --env")
    limits = limits_of(parsed)
    with (
        stop_requests(),
        _evaluator(parsed, spec, limits) as (evaluator, camera),
        counting("evaluating") as progress,
    ):
        environment = evaluator.describe()
        results = evaluator.run(
            loaded.policy, episodes=parsed.episodes, seed=parsed.seed, progress=progress, camera=camera
        )
    summary = {
        "path": str(parsed.path),
        "task": parsed.environment or loaded.facts.get("task") or spec.id,
        "policy": loaded.policy.choice.how,
        **_plans(loaded.policy),
        **_figures(results),
        "seed": parsed.seed,
        "limits": dataclasses.asdict(limits),
        "environment": environment,
        "facts": loaded.facts,
    }
    _show(summary, unfinished(results))
    if parsed.video is not None:
        print(f"film: {parsed.video}")
    if parsed.json is not None:
        write_json(parsed.json, null_for_nan(summary | {"results": [as_record(result) for result in results]}))
    return 0 if unfinished(results) is None else 1


def _loaded(parsed: argparse.Namespace) -> "LoadedPolicy":
    """The policy, as the command line wants it to act.

    Raises:
        UsageError: if its plans are shorter than `--replan`.
    """
    loaded = policies.load_policy(parsed.path, kind=parsed.policy)
    if parsed.replan is None:
        return loaded
    if parsed.replan > (chunk := loaded.policy.spec.chunk):
        plans = "single actions" if chunk == 1 else f"{chunk} actions"
        raise UsageError(f"--replan {parsed.replan} is more than the policy plans ({plans}): leave it out")
    return policies.load_policy(parsed.path, kind=parsed.policy, replan=parsed.replan)


def _plans(policy: "Policy") -> dict[str, int]:
    """How a policy plans, if it plans more than one action."""
    chunk = policy.spec.chunk
    return {} if chunk == 1 else {"chunk": chunk, "replan": policy.executed}


@contextlib.contextmanager
def _evaluator(
    parsed: argparse.Namespace, spec: "EnvironmentSpec", limits: EvaluationLimits
) -> "Iterator[tuple[rollout.Evaluator, Camera | None]]":
    """The evaluator, and the film if one was requested."""
    if parsed.video is None:
        with rollout.Evaluator(spec, workers=parsed.workers, limits=limits) as evaluator:
            yield evaluator, None
        return
    shape = {"episodes": parsed.episodes, "height": parsed.video_height, "every": parsed.video_every}
    with filming.filming(parsed.video, spec, workers=parsed.workers, limits=limits, **shape) as pair:
        yield pair


def _figures(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """The means over the episodes; none if the time limit left too few of them."""
    whole = unfinished(results) is None
    figures = {
        "episodes": len(finished(results)),
        "success": success_rate(results) if whole else None,
        "score": mean_score(results) if whole else None,
        "return": mean_return(results) if whole else None,
    }
    if cut := sum(result.cut is not None for result in results):
        figures["cut"] = cut
    return figures if whole else figures | {"planned": results[0].planned}


def _show(summary: Mapping[str, Any], missing: str | None) -> None:
    """Print the available figures."""
    shown = {"score": "normalised score {:.1f}", "success": "success {:.3f}", "return": "mean return {:.1f}"}
    figures = [text.format(summary[name]) for name, text in shown.items() if summary[name] is not None]
    episodes = counted(summary["episodes"], "episode")
    if missing is None and "cut" in summary:
        episodes += f", {summary['cut']} of them cut"
    plans = "" if "chunk" not in summary else f", executes {summary['replan']} of {summary['chunk']} planned actions"
    timing = {"pre": ", success judged before the step", "post": ", success judged after the step"}
    print(
        f"{summary['task']}: {missing or ', '.join(figures)} "
        f"({episodes}, policy {summary['policy']!r}{plans}, seed {summary['seed']}"
        f"{timing.get(summary['environment']['success_timing'], '')})"
    )


def _environment(name: str | None, facts: Mapping[str, Any], where: Path) -> "EnvironmentSpec | None":
    """The environment that was requested, else the one in which the policy was evaluated during training.

    Raises:
        DataError: if there is none of that name, or only the policy's file names it: see `environment_in_file`.
    """
    if name is not None:
        require_all(needs.of_environment(name))
        return environment_of(name)
    if facts.get("environment") is not None:
        spec = environment_in_file(facts["environment"], str(where))
    else:
        # Files of the first version name only their task.
        spec = None if "environment" in facts else environment_of_task(facts.get("task"), str(where))
    if spec is not None:
        require_all(needs.of_spec(spec))
    return spec
