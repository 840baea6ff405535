"""Train, resume, evaluate and load a policy from Python: what `drol train` does, in your own script.

    python examples/from_python.py

Collects ten episodes of OGBench's pointmaze with OGBench's own expert, trains DROL(16) on them briefly, resumes the run
for more updates, and evaluates its policy; a few more minutes of training give a policy that solves the maze. You can
stop it with Ctrl-C at any time; to continue, set `resume=True` and rerun it.
"""

from pathlib import Path

import drol

TASK = "pointmaze-medium-navigate-singletask-task1-v0"


def main(
    folder: Path = Path("runs/from-python"), updates: int = 2_000, collect: int = 10, episodes: int = 10, **options
) -> drol.Evaluation:
    """Train twice and evaluate; `options` are further fields of `drol.RunConfig`."""
    options |= {"eval_every": updates // 2, "eval_episodes": episodes}
    result = drol.train(drol.RunConfig(task=TASK, collect=collect, updates=updates, out=folder, **options))
    print(f"success after {updates} updates: {result.figure.value:.2f}")

    # Twice as many updates; everything else stays the same.
    longer = drol.RunConfig(task=TASK, collect=collect, updates=2 * updates, out=folder, **options)
    result = drol.train(longer, resume=True)
    for line in result.evaluations:
        print(f"update {line['update']}: success {line['evaluation/success']:.2f}")

    policy = drol.load_policy(result.folder)
    evaluation = drol.evaluate(policy, drol.environment(TASK), episodes=episodes, seed=1)
    print(f"{episodes} more episodes: success {evaluation.success:.2f}")
    return evaluation


if __name__ == "__main__":
    main()
