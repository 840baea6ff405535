"""The files of a run, kept in step with its training."""

import dataclasses
import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import numpy as np

from drol.algorithm import Algorithm, TrainState
from drol.data.replay import ReplayData
from drol.files import write_json
from drol.numerics import key_of_seed
from drol.policy import Policy, in_units, planning
from drol.policy.files import save_policy
from drol.processes import WorkerError
from drol.signals import StoppedError, raise_if_stopped
from drol.training.background import Background
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.loop import held_out_metrics
from drol.training.pack import Refused
from drol.training.probes import Probes, diagnostics, winners
from drol.training.records import Sink, is_live
from drol.training.settings import LAST_EVALUATIONS, Settings
from drol.types import Key, Spec, Units

logger = logging.getLogger("drol")

HELD_OUT_BATCHES = 16

Evaluate = Callable[[Policy, int], Sequence[Mapping[str, Any]]]
"""(policy, update) -> one record per episode with at least `return`, `length` and `success`.

`cut` says what ended an episode before the environment did. If its time limit ended the evaluation, `planned` in every
record says how many episodes it was to have.
"""


@dataclasses.dataclass
class Run:
    """One run: what to train, where its files go, and what receives its metrics.

    Attributes:
        algorithm: what to train.
        folder: where records, checkpoints and the policy go; its config must already be written.
        settings: lengths and seed.
        evaluate: rolls out a policy.
        sinks: receive every metric, including those of evaluations.
        policy_facts: stored with the policy, for instance its task.
        units: the user's units, in which policies are evaluated and saved.
        probes: where routing is examined at every evaluation.
        chunk, replan: how many actions the policy plans, and how many of them are executed.
        background: where it is evaluated while it is trained; None if training waits for evaluations.
    """

    algorithm: Algorithm
    folder: RunFolder
    settings: Settings
    evaluate: Evaluate | None = None
    sinks: Sequence[Sink] = ()
    policy_facts: Mapping[str, Any] | None = None
    units: Units | None = None
    probes: Probes | None = None
    chunk: int = 1
    replan: int | None = None
    background: Background | None = None


@dataclasses.dataclass(frozen=True)
class _Begun:
    """An evaluation that is under way, and what is recorded once it has ended.

    Attributes:
        update: of the policy.
        policy: in the user's units.
        line: the rest of the update's line in the records.
        episodes: of an evaluation in the background; None if it is still to be made.
    """

    update: int
    policy: Policy
    line: dict[str, Any]
    episodes: "Future[Sequence[Mapping[str, Any]]] | None"


class Keeper:
    """Keeps the checkpoints, records, evaluations and policy of one run in step with its training.

    At the end of a chunk where an evaluation is due, the state is checkpointed first, together with the chunk's
    metrics: if anything interrupts the evaluation, the run resumes there and evaluates first.

    Evaluations in the background are recorded at their update all the same: the lines that follow are held back until
    one has ended, and the next one waits for it before its own checkpoint is saved. So the newest checkpoint is always
    that of the first evaluation which is not recorded, from which an interrupted run goes on.

    Args:
        run: the run.
        spec: the dimensions of the data.
        validation: held-out transitions, if any.
        start: a state to begin with, and the key of its updates; by default fresh networks, and a key of the seed.

    Attributes:
        pending: whether a request to stop postponed an evaluation until the run is resumed.
    """

    def __init__(
        self, run: Run, spec: Spec, validation: ReplayData | None, start: tuple[TrainState, Key] | None = None
    ):
        settings = run.settings
        self.run = run
        self._validation = validation
        self.state, self.key, self._held_out_key = initial(run.algorithm, spec, settings.seed)
        if start is not None:
            self.state, self.key = start
        self._elapsed, self._began = 0.0, time.monotonic()
        self.pending = False
        self.divergence = run.folder.read_divergence()
        self._metrics: Mapping[str, Any] | None = None
        self._begun: _Begun | None = None
        self._held: list[tuple[int, dict[str, Any]]] = []
        self._checkpoints = Checkpoints(
            run.folder.checkpoints,
            # Where a stop sends some runs of a program back to an evaluation, the others need that checkpoint, too.
            keep_last=settings.keep_last if run.background is None else max(2, settings.keep_last),
            keep_every=settings.keep_every,
            first=settings.start,
        )

    @property
    def update(self) -> int:
        """The number of updates done."""
        return int(self.state.step)

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to train."""
        return self.divergence is None and self.update < self.run.settings.updates

    def newest_intact(self, limit: int | None = None) -> int | None:
        """The newest checkpoint from which the run can resume, no later than `limit`."""
        return self._checkpoints.newest_intact(limit)

    def resume(self, update: int | None) -> None:
        """Restore the checkpoint of `update` (None: start from scratch), and drop all later records."""
        folder = self.run.folder
        if update is not None:
            self.state, self.key, self._metrics = self._checkpoints.restore(self.state, self.key, update)
        self._checkpoints.cut(self.update)
        folder.metrics.cut(self.update)
        lines = folder.metrics.read()
        recorded = any(line["update"] == self.update for line in lines)
        self._elapsed = max((line.get("elapsed_seconds") or 0.0 for line in lines), default=0.0)
        # If an evaluation ended before its line was written, its episodes are rolled out again.
        kept = self.update if recorded else self.update - 1
        folder.evaluations.cut(kept)
        folder.probes.cut(kept)
        folder.cut_policies(kept, LAST_EVALUATIONS)
        self._checkpoints.save(self.state, self.key, self._metrics)
        if self.run.settings.start:
            # From now on, the run that this one continues is not needed any longer.
            self._checkpoints.finish()
        if self.update == 0:
            self._probed()
        if self._metrics is not None and not recorded:
            self._record()

    def after_chunk(self, state: TrainState, metrics: Mapping[str, Any], stopping: bool) -> None:
        """Take over the state and the metrics of a finished chunk.

        Args:
            state: at the end of the chunk.
            metrics: of the chunk.
            stopping: if an evaluation is due, checkpoint and postpone it until the run is resumed.
        """
        self._checkpoints.finish()
        self.state, self._metrics = state, metrics
        due = self.evaluates_at(self.update)
        self._settle(wait=due)
        if self.pending:
            return
        if due:
            self._checkpoints.save(state, self.key, metrics)
            if stopping:
                self.pending = True
                return
        self._record()

    def set_aside(self, refused: Refused) -> None:
        """Keep the last finite state of a run that diverged, and record what happened."""
        self.state, self._metrics, transitions = refused.state, None, refused.transitions
        self._settle(wait=True)
        if self.pending:
            return
        losses = {name: value for name, value in refused.metrics.items() if name.endswith("loss")}
        wrong = sorted(name for name, value in losses.items() if not math.isfinite(value))
        if transitions:
            cause = (
                f"its batch holds NaN or infinity, in transitions {', '.join(map(str, transitions[:10]))} of the data"
            )
        else:
            cause = "its batch is finite: try a smaller learning rate, or examine the scale of the data's rewards"
        self.divergence = (
            f"the update after update {self.update} was refused: {' and '.join(wrong) or 'a parameter'} became NaN or "
            f"infinite; {cause}. The run is kept as it was before that update"
        )
        self.keep()
        write_json(
            self.run.folder.divergence,
            {"update": self.update, "metrics": wrong, "transitions": transitions, "message": self.divergence},
        )
        logger.warning("%s: %s", self.run.folder.path, self.divergence)

    def keep(self) -> None:
        """Checkpoint the current state and save its policy; both are complete on return."""
        self._settle(wait=True)
        self._checkpoints.save(self.state, self.key, self._metrics)
        self._checkpoints.finish()
        self._save_policy(self.update, self._policy())

    def close(self) -> None:
        """Release the checkpoints' threads."""
        self._checkpoints.close()

    def evaluates_at(self, update: int) -> bool:
        """Whether the run is checkpointed and evaluated after this update."""
        settings = self.run.settings
        return (update - settings.start) % settings.eval_every == 0 or update == settings.updates

    def _record(self) -> None:
        """Write the line of this update, after an evaluation if one is due; on a request to stop, postpone both."""
        line = dict(self._metrics or {})
        if not self.evaluates_at(self.update):
            self._write(self.update, line | self._time())
            return
        try:
            raise_if_stopped()
        except StoppedError:
            self.pending = True
            return
        line |= self._held_out() | self._probed()
        # Seal the checkpoint before any environment runs, so that a failure there cannot lose it.
        self._checkpoints.finish()
        policy, episodes = self._policy(), None
        if self.run.background is not None and self.run.evaluate is not None:
            line |= self._time()
            policy = self.run.background.copied(policy)
            episodes = self.run.background.begin(self.run.evaluate, policy, self.update)
            self._show(self.update, line)
        self._begun = _Begun(self.update, policy, line, episodes)
        self._settle(wait=episodes is None)

    def _settle(self, *, wait: bool) -> None:
        """Record the evaluation that is under way, and the lines after it, once it has ended.

        On a request to stop, the run goes back to the evaluation's checkpoint, and `pending` is set.

        Args:
            wait: until it has ended.
        """
        begun = self._begun
        if begun is None or not (wait or begun.episodes is None or begun.episodes.done()):
            return
        try:
            evaluated = self._evaluated(begun)
        except StoppedError:
            self._begun, self._held, self.pending = None, [], True
            if begun.update < self.update:
                self.state, self.key, self._metrics = self._checkpoints.restore(self.state, self.key, begun.update)
            return
        self._save_policy(begun.update, begun.policy)
        if "evaluation/return" in evaluated:
            self._save_evaluated_policy(begun.update, begun.policy)
        held, self._begun, self._held = self._held, None, []
        self._write(begun.update, {**begun.line, **evaluated, **({} if begun.episodes else self._time())})
        for update, line in held:
            self._write(update, line, shown=True)

    def _write(self, update: int, line: dict[str, Any], *, shown: bool = False) -> None:
        """Write a line of the records, or hold it back while an evaluation before it is under way.

        Args:
            update: of the line.
            line: metrics.
            shown: whether sinks that show metrics at once have it already.
        """
        if self._begun is not None:
            self._held.append((update, line))
            self._show(update, line)
            return
        self.run.folder.metrics.append({"update": update, **line})
        for sink in self.run.sinks:
            if not (shown and is_live(sink)):
                sink.write(update, line)

    def _show(self, update: int, line: Mapping[str, Any]) -> None:
        for sink in filter(is_live, self.run.sinks):
            sink.write(update, line)

    def _time(self) -> dict[str, float]:
        return {"elapsed_seconds": round(self._elapsed + time.monotonic() - self._began, 3)}

    def _held_out(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        metrics = held_out_metrics(
            self.run.algorithm,
            self.state,
            self._validation,
            self._held_out_key,
            batch_size=self.run.settings.batch_size,
            batches=HELD_OUT_BATCHES,
        )
        return {f"validation/{name}": float(value) for name, value in metrics.items()}

    def _probed(self) -> dict[str, float]:
        """Record which latent wins each probe, and return what that says about routing."""
        if self.run.probes is None or (now := winners(self.run.algorithm, self.state, self.run.probes)) is None:
            return {}
        earlier = self.run.folder.probes.read()
        self.run.folder.probes.append({"update": self.update, "winners": now})
        return diagnostics(now, earlier[-1].get("winners") if earlier else None)

    def _evaluated(self, begun: _Begun) -> dict[str, Any]:
        """Roll out the policy unless that is done, record every episode, and return the summary."""
        if self.run.evaluate is None:
            return {}
        try:
            if begun.episodes is None:
                episodes = self.run.evaluate(begun.policy, begun.update)
            else:
                episodes = begun.episodes.result()
        except WorkerError as error:
            logger.warning("the evaluation at update %d failed; training continues: %s", begun.update, error)
            return {"evaluation/error": str(error)}
        self.run.folder.evaluations.append(*({"update": begun.update, **episode} for episode in episodes))
        return _summary(episodes)

    def _save_policy(self, update: int, policy: Policy) -> None:
        facts = {**(self.run.policy_facts or {}), "update": update}
        save_policy(policy, self.run.folder.policy, facts)

    def _save_evaluated_policy(self, update: int, policy: Policy) -> None:
        """Keep the policies behind a run's figure."""
        folder, facts = self.run.folder, {**(self.run.policy_facts or {}), "update": update}
        save_policy(policy, folder.evaluated_policy(update), facts)
        folder.cut_policies(update, LAST_EVALUATIONS)

    def _policy(self) -> Policy:
        policy = planning(self.run.algorithm.policy(self.state), self.run.chunk, self.run.replan)
        return in_units(policy, self.run.units)


def _summary(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of an evaluation; without means if its time limit ended it, because episodes are missing."""
    if not episodes:
        return {"evaluation/episodes": 0}
    if (planned := episodes[0].get("planned")) is not None:
        count = sum(episode.get("cut") != "time limit" for episode in episodes)
        error = f"ended by its time limit: {count} of {planned} episodes finished"
        return {"evaluation/episodes": count, "evaluation/planned": planned, "evaluation/error": error}
    summary: dict[str, Any] = {"evaluation/episodes": len(episodes)}
    if cut := sum("cut" in episode for episode in episodes):
        summary["evaluation/cut"] = cut
    for name in ("return", "length", "success", "score"):
        values = [episode[name] for episode in episodes if episode.get(name) is not None]
        if values:
            summary[f"evaluation/{name}"] = float(np.mean(values))
    return summary


def initial(algorithm: Algorithm, spec: Spec, seed: int) -> tuple[Any, Key, Key]:
    """A run's initial state, the key of its updates, and the key of its held-out metrics."""
    init_key, run_key, held_out_key = jax.random.split(key_of_seed(seed), 3)
    return _initial_state(algorithm, spec, init_key), run_key, held_out_key


@functools.partial(jax.jit, static_argnames="spec")
def _initial_state(algorithm: Algorithm, spec: Spec, key: Key) -> Any:
    return algorithm.init(spec.flat, key=key)
