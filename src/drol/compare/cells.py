"""One cell of a comparison: a method on a task at all seeds, in the files that `drol train --seeds` writes."""

import dataclasses
import itertools
import statistics
from pathlib import Path
from typing import Any, Literal

from drol.compare.comparison import Comparison
from drol.compare.methods import Method
from drol.errors import DataError
from drol.files import write_json
from drol.report.figure import Figure, figure
from drol.training.folder import RunFolder
from drol.training.settings import Settings

RESULTS = "results"

State = Literal["absent", "begun", "finished", "diverged"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """The runs of one method on one task, in `root/TASK/METHOD/seedS`.

    Attributes:
        root: the comparison's folder.
        task: its label.
        method: the algorithm, and its values of what is varied.
    """

    root: Path
    task: str
    method: Method

    @property
    def path(self) -> Path:
        """The folder of its runs."""
        return self.root / self.task / self.method.name

    @property
    def log(self) -> Path:
        """What the command that trains it printed, where it does not print to the terminal."""
        return self.path.with_name(f"{self.path.name}.log")

    def run(self, seed: int) -> RunFolder:
        """The folder of one run."""
        return RunFolder(self.path / f"seed{seed}")

    def state(self, comparison: Comparison) -> State:
        """Its progress: `begun` if any run has something left to train, `diverged` if none has and any diverged.

        Raises:
            DataError: if a configuration cannot be read.
        """
        updates = comparison.tasks[self.task].updates
        states = {self._state(self.run(seed), updates) for seed in comparison.seeds}
        if states == {"absent"}:
            return "absent"
        if states & {"absent", "begun"}:
            return "begun"
        return "diverged" if "diverged" in states else "finished"

    def is_unfinished(self, comparison: Comparison) -> bool:
        """Whether there is anything left to train. Raises as `state`."""
        return self.state(comparison) in ("absent", "begun")

    @staticmethod
    def _state(run: RunFolder, updates: int) -> State:
        if not run.config.exists():
            return "absent"
        run.read_config()
        if run.divergence.exists():
            return "diverged"
        return "finished" if max((line["update"] for line in run.metrics.read()), default=0) >= updates else "begun"

    def configs(self, comparison: Comparison) -> dict[int, dict[str, Any]]:
        """The configurations of the runs that were begun, by seed.

        Raises:
            DataError: if one cannot be read.
        """
        runs = {seed: self.run(seed) for seed in comparison.seeds}
        return {seed: run.read_config() for seed, run in runs.items() if run.config.exists()}

    def check(self, comparison: Comparison) -> None:
        """Refuse to count or resume runs that follow another protocol or differ in more than the seed.

        Raises:
            DataError: naming the folder, what was found and what was expected.
        """
        configs = self.configs(comparison)
        for name in ("hyperparameters", "preset"):
            if any(config.get(name) != first.get(name) for first, config in itertools.pairwise(configs.values())):
                raise DataError(f"the runs in {self.path} differ in their {name}; remove those that are wrong")
        for seed, config in configs.items():
            path, settings, budget = self.run(seed).path, config["settings"], comparison.tasks[self.task]
            found = {name: settings.get(name, config.get(name)) for name in ("size", "eval_every", "eval_episodes")}
            wanted: dict[str, Any] = {"size": comparison.size, "eval_every": budget.eval_every}
            wanted["eval_episodes"] = comparison.eval_episodes
            if comparison.hidden is not None:
                found["hidden"], wanted["hidden"] = config["hyperparameters"]["hidden"], list(comparison.hidden)
            found["eval_max_steps"] = config.get("evaluation_limits", {}).get("steps")
            wanted["eval_max_steps"] = comparison.eval_max_steps
            found |= self.method.found_in(config)
            wanted |= dict(self.method.values)
            if config.get("columns") is not None:
                found["columns"], wanted["columns"] = config["columns"], comparison.columns
            for name, value in wanted.items():
                if found[name] != value:
                    raise DataError(
                        f"{path} was begun with {name} {found[name]}, but this comparison has {value}; change that, or "
                        f"choose another folder with --out"
                    )
            if settings["updates"] > budget.updates:
                raise DataError(
                    f"{path} was begun with {settings['updates']} updates, more than the {budget.updates} of this "
                    f"comparison; runs can be extended with --updates, not shortened"
                )
            try:
                Settings.from_record(settings | {"updates": budget.updates})
            except ValueError as error:
                raise DataError(f"{path} cannot be extended: {error}") from None

    def data(self, comparison: Comparison) -> dict[str, str]:
        """The SHA-256 of every file that its runs were trained on, by file name; empty if none was begun.

        Raises:
            DataError: if its runs were trained on different data.
        """
        found = [
            {file["name"]: file["sha256"] for file in config["data"]["files"]}
            for config in self.configs(comparison).values()
        ]
        if any(files != found[0] for files in found):
            raise DataError(f"the runs in {self.path} were trained on different data; remove those that are wrong")
        return found[0] if found else {}

    def result(self, comparison: Comparison) -> dict[str, Any]:
        """The result of the cell, with all that is needed to reproduce it, and without paths or names of machines.

        `drol.report.figure` defines the figure of a run; the cell's are the mean of these over seeds, and their sample
        standard deviation (divisor: seeds - 1; null for one seed). A cell with a run that diverged, or was never
        evaluated, has none, because leaving out seeds would select among them.

        Raises:
            DataError: as in `check`, or if some runs were not begun, or are measured in different ways.
        """
        self.check(comparison)
        configs = self.configs(comparison)
        if len(configs) < len(comparison.seeds):
            raise DataError(f"{self.path} does not hold a run of every seed")
        first = configs[comparison.seeds[0]]
        figures = {seed: figure(self.run(seed).metrics.read()) for seed in comparison.seeds}
        measures = {found.measure for found in figures.values() if found is not None}
        if len(measures) > 1:
            raise DataError(f"the runs in {self.path} differ in what they measure; remove those that are wrong")
        measure = next(iter(measures), None)
        seeds = {str(seed): _outcome(self.run(seed), found) for seed, found in figures.items()}
        result = {
            "task": self.task,
            "algorithm": self.method.algorithm,
            "values": dict(self.method.values),
            "size": first["size"],
            "updates": comparison.tasks[self.task].updates,
            "eval_every": first["settings"]["eval_every"],
            "eval_episodes": first["eval_episodes"],
            "batch_size": first["settings"]["batch_size"],
            "hyperparameters": dict(sorted(first["hyperparameters"].items())),
            "preset": first.get("preset"),
            "environment": first.get("environment"),
            "data": dict(sorted(self.data(comparison).items())),
            "versions": {name: version for name, version in sorted(first["versions"].items()) if version is not None},
            "device": first["device"],
            "machine": first["machine"],
            "measure": measure,
            "seeds": seeds,
            "figure": _over_seeds([seed["figure"] for seed in seeds.values()]),
        }
        return dict(sorted(result.items()))

    def write_result(self, comparison: Comparison) -> dict[str, Any]:
        """Write the result to `root/results/TASK/METHOD.json`, and return it."""
        result = self.result(comparison)
        write_json(self.root / RESULTS / self.task / f"{self.method.name}.json", result)
        return result


def _outcome(run: RunFolder, found: Figure | None) -> dict[str, Any]:
    """A run's evaluations by update, and its figure."""
    evaluations = {}
    if found is not None:
        name = f"evaluation/{found.measure}"
        evaluations = {line["update"]: line[name] for line in run.metrics.read() if line.get(name) is not None}
    diverged = run.divergence.exists()
    return {
        "diverged": diverged,
        "evaluations": {str(update): round(value, 6) for update, value in evaluations.items()},
        "figure": None if diverged or found is None else round(found.value, 6),
    }


def _over_seeds(figures: list[float | None]) -> dict[str, float | None] | None:
    there = [figure for figure in figures if figure is not None]
    if len(there) < len(figures):
        return None
    spread = round(statistics.stdev(there), 6) if len(there) > 1 else None
    return {"mean": round(statistics.fmean(there), 6), "standard_deviation": spread}
