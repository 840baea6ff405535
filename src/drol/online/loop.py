"""Acting and learning in turn: blocks of steps under a fixed policy, each followed by the updates that belong to it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drol.algorithm import Algorithm, TrainState
from drol.data.growing import Growth, Steps, joined
from drol.data.replay import ReplayData
from drol.environments.pool import EnvironmentPool
from drol.errors import DataError
from drol.online.explorer import Ended, Explorer, Standing
from drol.online.log import StepLog
from drol.online.random import RandomPolicy
from drol.online.settings import OnlineSettings
from drol.policy import Policy, exploring, in_units, planning
from drol.signals import StoppedError, stop_requests
from drol.training.keeper import Keeper, Run
from drol.training.loop import finite_transitions, last_finite, train_chunk
from drol.training.pack import Refused
from drol.training.run import Outcome
from drol.types import Chunking, Key, Spec

Reward = Callable[[float], float]
"""The learner's reward, given the environment's."""


class Prior(NamedTuple):
    """What an online run begins with.

    Attributes:
        spec: the dimensions of observations and actions, and the actions of a plan.
        chunking: how many steps make up a row of a batch.
        data: returns the transitions that were there before; None if there are none. A function, so that they are not
            on the device twice.
        start: a state to continue from, and the key of the updates that led to it; None to begin with fresh networks.
        validation: held-out transitions, if any.
    """

    spec: Spec
    chunking: Chunking
    data: Callable[[], ReplayData] | None = None
    start: tuple[TrainState, Key] | None = None
    validation: ReplayData | None = None


def train_online(
    run: Run,
    settings: OnlineSettings,
    pool: EnvironmentPool,
    prior: Prior,
    *,
    reward: Reward = float,
    restart: bool = False,
) -> Outcome:
    """Train a run while it acts, resuming from its newest intact checkpoint if it has one.

    A run is a function of its seed and of `settings`, whatever the number of workers, evaluations and interruptions:
    killed at any moment and resumed, it leaves the parameters and records of an undisturbed one (except for wall-clock
    fields). Unfinished episodes are repeated from their seeds and actions, and must observe the same again.

    Args:
        run: its settings count updates; those before this run began are `run.settings.start`.
        settings: how acting and learning alternate.
        pool: the environments in which it acts; evaluations need their own.
        prior: what it begins with.
        reward: the learner's reward, given the environment's.
        restart: when resuming, begin new episodes instead of repeating unfinished ones.

    Raises:
        DataError: if another process is training in the folder, its checkpoints or steps do not fit, or the environment
            does not repeat an episode.
        WorkerError: if environments fail again and again; the last checkpoint is kept.
        OSError: if the disk cannot be written to; the last checkpoint is kept.
    """
    with contextlib.ExitStack() as stack:
        requests = stack.enter_context(stop_requests())
        stack.enter_context(run.folder.locked())
        keeper = stack.enter_context(contextlib.closing(Keeper(run, prior.spec, prior.validation, prior.start)))
        keeper.resume(_newest(keeper, settings, prior))
        run.folder.episodes.cut(keeper.update)
        if keeper.unfinished:
            _Online(keeper, settings, pool, prior, reward, requests).train(restart=restart)
        keeper.keep()
        signal = requests[0] if requests and (keeper.unfinished or keeper.pending) else None
    return Outcome(keeper.state, keeper.divergence, signal)


def _newest(keeper: Keeper, settings: OnlineSettings, prior: Prior) -> int | None:
    """The newest checkpoint between two blocks: a run that diverged, and was killed before it said so, has a later one.

    Raises:
        DataError: if there is none, although the run continues another one.
    """
    start = keeper.run.settings.start
    newest = keeper.newest_intact()
    while newest is not None and (newest - start) % settings.updates_per_block and keeper.divergence is None:
        newest = keeper.newest_intact(newest - 1)
    if newest is None and start and prior.start is None:
        raise DataError(f"{keeper.run.folder.path} holds no checkpoint to continue from; restore it from a backup")
    return newest


class _Moment(NamedTuple):
    """Where the environments stood at the end of a line of the records, and after how many steps."""

    standing: Standing
    steps: int


class _Online:
    """One run in progress."""

    def __init__(
        self,
        keeper: Keeper,
        settings: OnlineSettings,
        pool: EnvironmentPool,
        prior: Prior,
        reward: Reward,
        requests: Sequence[int],
    ):
        run = keeper.run
        self._keeper, self._settings, self._run, self._key = keeper, settings, run, keeper.key
        self._requests = requests
        self._growth = Growth(
            None if prior.data is None else prior.data(),
            spec=prior.spec,
            chunking=prior.chunking,
            steps=settings.steps,
            slots=settings.environments,
            rows=settings.rows,
            prior_rows=settings.prior_rows(run.settings.batch_size),
        )
        self._log = StepLog(run.folder.steps)
        self._ended: list[Ended] = []
        self._spec = prior.spec
        policy = self._policy(keeper.state)
        self._explorer = Explorer(
            pool, prior.spec, executed=policy.executed, seed=run.settings.seed, units=run.units, reward=reward
        )
        # Updates donate their state, and the keeper's must stay as it is.
        self._state = _copied(keeper.state)

    def train(self, *, restart: bool) -> None:
        """Act and learn until the run is finished, diverges, or is asked to stop."""
        moment = None
        try:
            self._restore(restart)
            moment = self._moment()
            if self._log.count == 0:
                self._warm_up()
            while self._keeper.unfinished and not self._requests:
                moment = self._moment()
                self._line()
            if self._keeper.divergence is None:
                self._log.seal(self._explorer.standing())
        except StoppedError:
            # What was done since the last line is done again when the run is resumed.
            if moment is not None:
                self._log.drop(moment.steps)
                self._log.seal(moment.standing)

    def _restore(self, restart: bool) -> None:
        """Go to where the keeper's checkpoint was made."""
        count = self._settings.steps_at(self._keeper.update - self._run.settings.start)
        parts, standing = self._log.restore(count)
        if standing is None:
            return
        for block in _blocks(joined(parts), self._settings.rows):
            self._growth.append(block)
        given_up = self._explorer.restore(standing, restart=restart)
        self._note(self._keeper.update, given_up, cut="restarted")

    def _moment(self) -> _Moment:
        return _Moment(self._explorer.standing(), self._log.count)

    def _warm_up(self) -> None:
        """The steps before the first update."""
        policy = self._policy(self._state)
        if self._settings.warm_up_by == "random":
            policy = in_units(RandomPolicy(dimensions=self._spec), self._run.units)
        for _ in range(self._settings.warm_up // self._settings.rows):
            self._act(policy)

    def _act(self, policy: Policy) -> None:
        """One block of steps."""
        steps = self._explorer.block(policy, self._settings.block)
        self._log.append(steps)
        self._growth.append(steps)
        self._ended += self._explorer.ended

    def _note(self, update: int, episodes: Sequence[Ended], **facts: str) -> None:
        """Record episodes in which the policy learned."""
        lines = [{"update": update, "step": self._log.count, **one.as_record(), **facts} for one in episodes]
        self._run.folder.episodes.append(*lines)

    def _line(self) -> None:
        """The blocks of one line of the records."""
        blocks = self._run.settings.updates_per_call // self._settings.updates_per_block
        found: list[dict[str, float]] = []
        acting, began = 0.0, time.perf_counter()
        for _ in range(blocks):
            start = time.perf_counter()
            self._act(self._policy(self._state))
            acting += time.perf_counter() - start
            metrics, refused = self._learn()
            if refused is not None:
                self._keeper.set_aside(refused)
                return
            found.append(metrics)
        seconds = time.perf_counter() - began
        line: dict[str, Any] = {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}
        line |= {"step": self._log.count} | _summary(self._ended)
        line["updates_per_second"] = self._run.settings.updates_per_call / seconds
        line["acting_share"] = acting / seconds
        update = int(self._state.step)
        self._note(update, self._ended)
        self._ended = []
        if self._keeper.evaluates_at(update):
            self._log.seal(self._explorer.standing())
        self._keeper.after_chunk(_copied(self._state), line, bool(self._requests))

    def _learn(self) -> tuple[dict[str, float], Refused | None]:
        """The updates of one block; what was refused, if their result is not finite."""
        before, table = _copied(self._state), self._growth.table
        size, length = self._run.settings.batch_size, self._settings.updates_per_block
        algorithm = self._run.algorithm
        self._state, metrics, finite = train_chunk(
            algorithm, self._state, table, self._key, batch_size=size, length=length
        )
        if finite:
            return {name: float(value) for name, value in metrics.items()}, None
        state, wrong = last_finite(algorithm, before, table, self._key, batch_size=size, length=length)
        numbers, whole = finite_transitions(table, self._key, state.step, batch_size=size)
        transitions = sorted(set(np.asarray(numbers)[~np.asarray(whole)].tolist()))
        return {}, Refused(state, {name: float(value) for name, value in wrong.items()}, transitions)

    def _policy(self, state: TrainState) -> Policy:
        """The policy that acts, in the environment's units."""
        run = self._run
        policy = exploring(run.algorithm.policy(state))
        return in_units(planning(policy, run.chunk, run.replan), run.units)


def _summary(ended: Sequence[Ended]) -> dict[str, Any]:
    """The episodes that ended since the last line."""
    summary: dict[str, Any] = {"exploration/episodes": len(ended)}
    if ended:
        summary["exploration/return"] = float(np.mean([episode.episode_return for episode in ended]))
        summary["exploration/length"] = float(np.mean([episode.length for episode in ended]))
    if verdicts := [episode.success for episode in ended if episode.success is not None]:
        summary["exploration/success"] = float(np.mean(verdicts))
    return summary


def _blocks(steps: Steps, rows: int) -> Iterator[Steps]:
    for start in range(0, steps.rows, rows):
        yield Steps(*(column[start : start + rows] for column in steps))


def _copied(state: TrainState) -> TrainState:
    return jax.tree.map(jnp.copy, state)


def check_online(algorithm: Algorithm) -> None:
    """Refuse an algorithm that learns nothing from rewards.

    Raises:
        ValueError: saying which can learn online.
    """
    if getattr(algorithm, "discount", None) is None:
        raise ValueError(
            f"{type(algorithm).__name__} learns from no rewards, so acting teaches it nothing; any algorithm with a "
            f"critic can learn online"
        )
