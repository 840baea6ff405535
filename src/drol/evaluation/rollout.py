"""Episodes of a policy: environments in worker processes, one batched policy call per step."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from drol.environments.d4rl_tasks import normalised_score
from drol.environments.spec import EnvironmentSpec
from drol.evaluation.environments import StepResult
from drol.numerics import key_of_seed
from drol.policy import Policy
from drol.processes import Worker, close_all
from drol.seeding import episode_seed
from drol.types import Key, Spec

SLOTS = 10
"""Environments stepped side by side, and so the policy's batch: fixed, or results would depend on it."""

EVALUATION = 0x4556414C
"""Tells evaluation episodes from collected ones of the same seed and number."""

START_SECONDS = 120.0
STEP_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class EpisodeResult:
    """One evaluation episode.

    Attributes:
        success: the environment's verdict at the last step, None where it gives none.
        score: the return between the environment's reference returns, which count as 0 and 100; None where it has none.
    """

    episode: int
    seed: int
    episode_return: float
    length: int
    success: bool | None
    score: float | None


@jax.jit
def _act(
    policy: Policy,
    observations: Float[Array, "slots observation"],
    episodes: Int[Array, " slots"],
    steps: Int[Array, " slots"],
    key: Key,
) -> Float[Array, "slots action"]:
    """One action per slot; the draw depends on the run's key, the episode and the step, not on the slot."""

    def act(observation, episode, step):
        return policy(observation, key=jax.random.fold_in(jax.random.fold_in(key, episode), step))

    return jax.vmap(act)(observations, episodes, steps)


class Evaluator:
    """Worker processes with environments, kept between evaluations.

    Slot i runs episodes i, i + slots, i + 2 slots, ... whichever worker holds it, and the policy sees all slots in one
    batch of fixed shape: results depend on the seed and on `slots`, not on the number of workers.

    Args:
        environment: what to evaluate in.
        workers: processes; at most one per slot is used.
        slots: environments side by side.
    """

    def __init__(self, environment: EnvironmentSpec, *, workers: int = 1, slots: int = SLOTS):
        if workers < 1 or slots < 1:
            raise ValueError(f"workers and slots must be at least 1, found {workers} and {slots}")
        self._environment, self._slots = environment, slots
        self._parts = [part.tolist() for part in np.array_split(np.arange(slots), min(workers, slots))]
        self._place = {slot: (w, local) for w, part in enumerate(self._parts) for local, slot in enumerate(part)}
        self._workers: list[Worker] = []
        self._start()

    def _start(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for part in self._parts:
                group = "drol.evaluation.environments:EnvironmentGroup"
                self._workers.append(Worker(group, self._environment, len(part)))
            for worker in self._workers:
                worker.receive(START_SECONDS)
            self._facts = self.describe()
            stack.pop_all()

    def describe(self) -> dict:
        """Facts about the environment, for the run's record."""
        return self._workers[0].call("describe", timeout=STEP_SECONDS)

    def check(self, spec: Spec) -> None:
        """Refuse data or a policy that do not belong in this environment.

        Raises:
            ValueError: if it has observations or actions of another width.
        """
        for name, width in dataclasses.asdict(spec).items():
            found = self._facts[name]
            if found != width:
                raise ValueError(
                    f"expected an environment with {name} {width}, as in training; {self._environment.id} has "
                    f"{'no box of numbers' if found is None else found}; evaluate in the data's own environment"
                )

    def run(self, policy: Policy, *, episodes: int, seed: int) -> list[EpisodeResult]:
        """Run episodes 0 .. episodes - 1.

        Args:
            policy: acts; its arrays may change between calls without a new compilation.
            episodes: how many.
            seed: of the environments' resets and the policy's draws.

        Raises:
            ValueError: if the environment's observations or actions do not fit the policy.
            WorkerError: if an environment fails, dies or hangs; the next call starts new ones.
        """
        if not self._workers:
            self._start()
        self.check(policy.spec)
        try:
            return self._episodes(policy, episodes, seed)
        except BaseException:
            # Answers may be on their way that belong to no question any more.
            self.close()
            raise

    def _episodes(self, policy: Policy, episodes: int, seed: int) -> list[EpisodeResult]:
        key = key_of_seed(seed)
        queues = [list(range(slot, episodes, self._slots)) for slot in range(self._slots)]
        observations = np.zeros((self._slots, policy.spec.observation_dim), np.float32)
        running = np.full(self._slots, -1)
        steps = np.zeros(self._slots, np.int32)
        returns = np.zeros(self._slots)
        finished: list[EpisodeResult] = []
        while True:
            starting = {s: queues[s].pop(0) for s in range(self._slots) if running[s] < 0 and queues[s]}
            seeds = {slot: episode_seed(seed, EVALUATION, episode) for slot, episode in starting.items()}
            for slot, result in self._exchange("reset", seeds).items():
                observations[slot], running[slot], steps[slot], returns[slot] = result.observation, starting[slot], 0, 0
            active = [slot for slot in range(self._slots) if running[slot] >= 0]
            if not active:
                return sorted(finished, key=lambda result: result.episode)
            # Copies: JAX may still read a NumPy buffer after the call returns, and these are written to below.
            numbers = jnp.array(np.maximum(running, 0))
            actions = np.asarray(_act(policy, jnp.array(observations), numbers, jnp.array(steps), key))
            for slot, result in self._exchange("step", {slot: actions[slot] for slot in active}).items():
                observations[slot] = result.observation
                steps[slot] += 1
                returns[slot] += result.reward
                if result.terminated or result.truncated:
                    finished.append(
                        EpisodeResult(
                            episode=int(running[slot]),
                            seed=episode_seed(seed, EVALUATION, int(running[slot])),
                            episode_return=float(returns[slot]),
                            length=int(steps[slot]),
                            success=result.success,
                            score=self._score(float(returns[slot])),
                        )
                    )
                    running[slot] = -1

    def _score(self, episode_return: float) -> float | None:
        if self._facts["reference_scores"] is None:
            return None
        return normalised_score(episode_return, *self._facts["reference_scores"])

    def _exchange(self, method: str, arguments: dict) -> dict[int, StepResult]:
        """Call a method on the groups that hold the named slots, all at once."""
        calls: dict[int, dict] = {}
        for slot, argument in arguments.items():
            worker, local = self._place[slot]
            calls.setdefault(worker, {})[local] = argument
        for worker, call in calls.items():
            self._workers[worker].send(method, call)
        answers = {worker: self._workers[worker].receive(STEP_SECONDS) for worker in calls}
        return {
            slot: answers[worker][local]
            for slot, (worker, local) in self._place.items()
            if worker in answers and local in answers[worker]
        }

    def close(self) -> None:
        """End the worker processes."""
        close_all(self._workers)
        self._workers = []

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def mean_score(results: Sequence[EpisodeResult]) -> float | None:
    """The mean normalised score, None where the environment has no reference returns."""
    scores = [result.score for result in results if result.score is not None]
    return float(np.mean(scores)) if scores else None


def as_record(result: EpisodeResult) -> dict[str, Any]:
    """An episode as a line of `evaluations.jsonl`; a score only where there is one."""
    names, fields = {"episode_return": "return"}, dataclasses.asdict(result)
    if result.score is None:
        del fields["score"]
    return {names.get(name, name): value for name, value in fields.items()}


def success_rate(results: Sequence[EpisodeResult]) -> float | None:
    """The share of successful episodes, None where the environment gives no verdict."""
    verdicts = [result.success for result in results if result.success is not None]
    return float(np.mean(verdicts)) if verdicts else None


def mean_return(results: Sequence[EpisodeResult]) -> float:
    """The mean undiscounted return."""
    return float(np.mean([result.episode_return for result in results]))
