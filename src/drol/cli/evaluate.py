"""`drol evaluate`: roll a trained policy out and report its success rate."""

import argparse
from pathlib import Path

from drol.cli.options import cores

KINDS = ("one", "centre", "best-of-n", "dense")


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument("path", type=Path, metavar="DIR|POLICY", help="a run folder or a policy folder")
    parser.add_argument(
        "--policy",
        choices=KINDS,
        help="one: one latent; centre: latent 0; best-of-n: highest Q of 32;\n"
        "dense: highest Q of the densest 8 of 32 (default: as stored)",
    )
    parser.add_argument("--episodes", type=int, default=50, metavar="N", help="how many (default: 50)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of environments and latents (default: 0)")
    parser.add_argument("--task", metavar="TASK", help="evaluate in another task than the policy's own")
    parser.add_argument(
        "--workers", type=int, default=min(cores(), 8), metavar="W", help="processes (default: all cores, at most 8)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and every episode to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Evaluate, print the figures, write them if asked."""
    from drol.bundle import load_policy
    from drol.data.ogbench import parse_task
    from drol.evaluation.environments import EnvironmentSpec
    from drol.evaluation.rollout import Evaluator, as_record, mean_return, success_rate
    from drol.files import DataError, write_json

    if parsed.episodes < 1:
        raise DataError(f"--episodes must be at least 1, found {parsed.episodes}")
    if parsed.seed < 0:
        raise DataError(f"--seed must not be negative, found {parsed.seed}")
    loaded = load_policy(parsed.path, kind=parsed.policy)
    name = parsed.task or loaded.facts.get("task")
    if name is None:
        raise DataError(f"{parsed.path} does not name the task it was trained for; give it with --task")
    task = parse_task(name)
    with Evaluator(EnvironmentSpec(f"ogbench:{task.env_id}"), workers=parsed.workers) as evaluator:
        environment = evaluator.describe()
        results = evaluator.run(loaded.policy, episodes=parsed.episodes, seed=parsed.seed)
    summary = {
        "path": str(parsed.path),
        "task": task.name,
        "policy": loaded.policy.config()["kind"],
        "episodes": len(results),
        "seed": parsed.seed,
        "success": success_rate(results),
        "return": mean_return(results),
        "environment": environment,
        "facts": loaded.facts,
    }
    rate = "no verdict" if summary["success"] is None else f"{summary['success']:.3f}"
    print(
        f"{task.name}: success {rate}, mean return {summary['return']:.1f} "
        f"({len(results)} episodes, policy {summary['policy']!r}, seed {parsed.seed}, "
        f"success judged {'before' if environment['success_timing'] == 'pre' else 'after'} the step)"
    )
    if parsed.json is not None:
        write_json(parsed.json, summary | {"results": [as_record(result) for result in results]})
    return 0
