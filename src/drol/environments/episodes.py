"""Rollouts of episodes, with one batched policy call for all slots whenever one of them needs a plan."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from drol.environments.limits import EvaluationLimits
from drol.environments.results import Cut, EpisodeResult, StepResult, normalised_score
from drol.numerics import key_of_seed
from drol.policy import PlanQueue, Policy
from drol.seeding import episode_seed
from drol.types import Key

logger = logging.getLogger("drol")

EVALUATION = 0x4556414C
"""Keeps the seeds of evaluation episodes distinct from those of collected episodes with the same seed and number."""


@jax.jit
def plans_of(
    policy: Policy,
    observations: Float[Array, "slots observation"],
    episodes: Int[Array, " slots"],
    plans: Int[Array, " slots"],
    key: Key,
) -> Float[Array, "slots chunk action"]:
    """One plan per slot; the draw depends on the key, the episode and the number of its plans, not on the slot."""

    def act(observation, episode, plan):
        return policy.plan(observation, key=jax.random.fold_in(jax.random.fold_in(key, episode), plan))

    return jax.vmap(act)(observations, episodes, plans)


class Seen(NamedTuple):
    """An episode that has begun or taken a step.

    Attributes:
        slot: where it runs.
        episode: its number.
        step: how many steps it has taken.
        ended: whether that was the last.
    """

    slot: int
    episode: int
    step: int
    ended: bool


Watch = Callable[[Sequence[Seen]], None]


class Rollout:
    """One evaluation in progress.

    Args:
        exchange: calls `reset` or `step` on the environments of the named slots.
        facts: facts about the environment; see `EnvironmentGroup.describe`.
        policy: the policy to run.
        episodes: number of episodes.
        seed: for the environments' resets and the policy's draws.
        slots: number of environments stepped in parallel.
        limits: gives the step limit of an episode.
        watch: called whenever episodes have begun or taken a step, before their environments do anything else.

    Attributes:
        results: results of the episodes that have ended.
    """

    def __init__(
        self,
        exchange: Callable[[str, dict[int, Any]], dict[int, StepResult]],
        facts: Mapping[str, Any],
        policy: Policy,
        episodes: int,
        seed: int,
        *,
        slots: int,
        limits: EvaluationLimits,
        watch: Watch | None = None,
    ):
        self._exchange, self._facts, self._policy, self._seed = exchange, facts, policy, seed
        self._episodes, self._step_limit, self._key = episodes, limits.steps_in(facts), key_of_seed(seed)
        self._queues = [list(range(slot, episodes, slots)) for slot in range(slots)]
        self._observations = np.zeros((slots, policy.spec.observation_dim), np.float32)
        self._plans = PlanQueue(slots, policy.executed, policy.spec.action_dim)
        self._running = np.full(slots, -1)
        self._steps = np.zeros(slots, np.int32)
        self._returns = np.zeros(slots)
        self._success: list[bool | None] = [None] * slots
        self._warned, self._watch = False, watch
        self.results: list[EpisodeResult] = []

    def advance(self) -> bool:
        """Start an episode in every free slot, then take one step in all slots; False if no episode is left."""
        self._start()
        actions = self._actions()
        running = {slot: int(self._running[slot]) for slot in actions}
        if not actions:
            return bool((self._running >= 0).any() or any(self._queues))
        for slot, result in self._exchange("step", actions).items():
            self._steps[slot] += 1
            self._returns[slot] += result.reward
            self._success[slot] = result.success
            self._observe(slot, result)
            if result.terminated or result.truncated:
                self._finish(slot)
            elif self._steps[slot] >= self._step_limit:
                self._finish(slot, "step limit")
        if self._watch is not None:
            self._watch([self._seen(slot, episode) for slot, episode in running.items()])
        return True

    def cut_short(self) -> None:
        """End the running episodes, and mark all results as those of an incomplete evaluation."""
        for slot in np.flatnonzero(self._running >= 0):
            self._finish(int(slot), "time limit")
        self.results = [dataclasses.replace(result, planned=self._episodes) for result in self.results]

    def _start(self) -> None:
        free = [slot for slot, queue in enumerate(self._queues) if self._running[slot] < 0 and queue]
        starting = {slot: self._queues[slot].pop(0) for slot in free}
        seeds = {slot: episode_seed(self._seed, EVALUATION, episode) for slot, episode in starting.items()}
        answers = self._exchange("reset", seeds)
        for slot, result in answers.items():
            self._running[slot], self._steps[slot], self._returns[slot] = starting[slot], 0, 0
            self._success[slot] = None
            self._plans.clear(slot)
            self._observe(slot, result)
        if self._watch is not None and starting:
            self._watch([self._seen(slot, episode) for slot, episode in starting.items()])

    def _seen(self, slot: int, episode: int) -> Seen:
        return Seen(slot, episode, int(self._steps[slot]), ended=bool(self._running[slot] < 0))

    def _actions(self) -> dict[int, np.ndarray]:
        """The policy's actions in all running slots; episodes with an action that is not finite are ended."""
        if not (self._running >= 0).any():
            return {}
        actions = self._plans.next(self._planned, self._running >= 0)
        for slot in np.flatnonzero((self._running >= 0) & ~np.isfinite(actions).all(axis=1)):
            self._warn(int(slot), "the policy's action")
            self._finish(int(slot), "not finite")
        return {int(slot): actions[slot] for slot in np.flatnonzero(self._running >= 0)}

    def _planned(self, _: np.ndarray) -> np.ndarray:
        """A plan for every slot, in one call of fixed shape."""
        # Copies, because JAX may still read a NumPy buffer after the call returns, and these are overwritten later.
        episodes = jnp.array(np.maximum(self._running, 0))
        observations, plans = jnp.array(self._observations), jnp.array(self._plans.plans)
        return np.asarray(plans_of(self._policy, observations, episodes, plans, self._key))

    def _observe(self, slot: int, result: StepResult) -> None:
        self._observations[slot] = result.observation
        if not np.isfinite(result.observation).all():
            self._warn(slot, "the observation")
        if not np.isfinite(result.reward):
            self._warn(slot, "the reward")

    def _warn(self, slot: int, what: str) -> None:
        """Log what was not finite and where, but only once per evaluation, since one such number leads to others."""
        if not self._warned:
            where = f"episode {self._running[slot]}, step {self._steps[slot]}"
            logger.warning("%s: %s holds NaN or infinity (in %s)", where, what, self._facts["id"])
        self._warned = True

    def _finish(self, slot: int, cut: Cut | None = None) -> None:
        episode, episode_return = int(self._running[slot]), float(self._returns[slot])
        references = self._facts["reference_scores"]
        self.results.append(
            EpisodeResult(
                episode=episode,
                seed=episode_seed(self._seed, EVALUATION, episode),
                episode_return=episode_return,
                length=int(self._steps[slot]),
                success=self._success[slot],
                score=None if references is None else normalised_score(episode_return, *references),
                cut=cut,
            )
        )
        self._running[slot] = -1
