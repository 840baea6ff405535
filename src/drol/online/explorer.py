"""Environments in which a policy gathers steps, block by block, exactly repeatable from seeds and actions."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from drol.data.growing import Steps
from drol.environments.episodes import plans_of
from drol.environments.pool import EnvironmentPool
from drol.environments.results import StepResult
from drol.errors import DataError, both
from drol.numerics import key_of_seed
from drol.policy import PlanQueue, Policy
from drol.processes import WorkerError
from drol.seeding import episode_seed
from drol.types import Spec, Units

T = TypeVar("T")

logger = logging.getLogger("drol")

ONLINE = 0x4F4E4C4E
"""Keeps the seeds of episodes in which a policy learns distinct from those of evaluations and collections."""

ATTEMPTS = 3
"""How often environments that fail are started again for one step."""


class Standing(NamedTuple):
    """Where the environments stand between two blocks: enough to take them there again.

    Attributes:
        begun: how many episodes have begun in all.
        episodes: the number of each environment's episode; -1 where the next one is about to begin.
        returns: the rewards of each so far, as the environment gave them.
        observations: what each observed last.
        lengths: how many steps each has taken.
        actions: the actions of all unfinished episodes, one environment's after the other's.
        plans: what is left of their plans.
    """

    begun: int
    episodes: np.ndarray
    returns: np.ndarray
    observations: np.ndarray
    lengths: np.ndarray
    actions: np.ndarray
    plans: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Ended:
    """An episode that ended while the policy learned.

    Attributes:
        episode: its number.
        seed: of its reset.
        length: in steps.
        episode_return: the sum of the rewards that the environment gave.
        success: the environment's verdict at the last step; None if it gives none.
    """

    episode: int
    seed: int
    length: int
    episode_return: float
    success: bool | None

    def as_record(self) -> dict[str, Any]:
        """As JSON values."""
        fields = dataclasses.asdict(self)
        return {"return" if name == "episode_return" else name: value for name, value in fields.items()}


class Explorer:
    """Environments in which policies act and learn.

    Episodes are numbered in the order in which they begin. Resets depend on the seed and the episode, draws of a policy
    on the seed, the episode and the number of the plan: not on workers.

    Args:
        pool: the environments.
        spec: the dimensions of observations and actions, and the actions of a plan.
        executed: how many actions of a plan are executed.
        seed: of resets and draws.
        units: converts what is observed and done into the learner's units; None if they are the same.
        reward: the learner's reward, given the environment's.

    Attributes:
        ended: the episodes that ended in the last block.
    """

    def __init__(
        self,
        pool: EnvironmentPool,
        spec: Spec,
        *,
        executed: int,
        seed: int,
        units: Units | None = None,
        reward: Callable[[float], float] = float,
    ):
        self._pool, self._spec, self._units, self._reward, self._seed = pool, spec, units, reward, seed
        self._slots, self._limit = pool.slots, pool.limits.steps_in(pool.describe())
        self._key = key_of_seed(episode_seed(seed, ONLINE))
        self._begun, self._episodes = 0, np.full(self._slots, -1)
        self._returns = np.zeros(self._slots)
        self._observations = np.zeros((self._slots, spec.observation_dim), np.float32)
        self._actions: list[list[np.ndarray]] = [[] for _ in range(self._slots)]
        self._plans = PlanQueue(self._slots, executed, spec.action_dim)
        self.ended: list[Ended] = []

    def block(self, policy: Policy, steps: int) -> Steps:
        """Take `steps` steps in every environment with the same policy, which acts in the environment's units.

        Raises:
            DataError: if the policy's action, an observation or a reward is not finite, or the environment does not
                repeat an episode after a failure.
            WorkerError: if environments fail again and again.
            StoppedError: inside `drol.signals.stop_requests`, after a request to stop.
        """
        self.ended = []
        rows = [row for _ in range(steps) for row in self._step(policy)]
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        return self._inward(Steps(*columns))

    def _step(self, policy: Policy) -> list[tuple[Any, ...]]:
        """One step in every environment: a row of `Steps` for each, in the environment's units."""
        began = self._episodes < 0
        self._begin()
        before = self._observations.copy()
        actions = self._plans.next(lambda _: self._planned(policy))
        self._check_finite("the policy's action", actions)
        results = self._exchange("step", {slot: actions[slot] for slot in range(self._slots)})
        rows = []
        for slot in range(self._slots):
            result, action = results[slot], np.array(actions[slot])
            self._check_finite("the observation or the reward", [*result.observation, result.reward])
            self._actions[slot].append(action)
            self._observations[slot] = result.observation
            self._returns[slot] += result.reward
            ended = result.terminated or result.truncated or len(self._actions[slot]) >= self._limit
            reward = np.float32(self._reward(result.reward))
            rows.append((before[slot], action, reward, result.terminated, ended, began[slot], result.observation))
            if ended:
                self._end(slot, result.success)
        return rows

    def _begin(self) -> None:
        """Begin an episode in every environment that has none."""
        free = np.flatnonzero(self._episodes < 0)
        for slot in free:
            self._episodes[slot], self._returns[slot], self._actions[slot] = self._begun, 0, []
            self._plans.clear(int(slot))
            self._begun += 1
        results = self._exchange("reset", self._seeds(free))
        for slot, result in results.items():
            self._check_finite("the observation", result.observation)
            self._observations[slot] = result.observation

    def _end(self, slot: int, success: bool | None) -> None:
        self.ended.append(self._ended(slot, success))
        self._episodes[slot], self._actions[slot] = -1, []

    def _ended(self, slot: int, success: bool | None) -> Ended:
        """The episode in a slot, as far as it went."""
        episode, length = int(self._episodes[slot]), len(self._actions[slot])
        seed = episode_seed(self._seed, ONLINE, episode)
        return Ended(episode, seed, length, float(self._returns[slot]), success)

    def _seeds(self, slots: np.ndarray) -> dict[int, int]:
        return {int(slot): episode_seed(self._seed, ONLINE, int(self._episodes[slot])) for slot in slots}

    def _planned(self, policy: Policy) -> np.ndarray:
        """A plan for every environment, in one call of fixed shape."""
        # Copies, because JAX may still read a NumPy buffer after the call returns, and these are overwritten later.
        observations, episodes = jnp.array(self._observations), jnp.array(self._episodes, jnp.int32)
        return np.asarray(plans_of(policy, observations, episodes, jnp.array(self._plans.plans), self._key))

    def _exchange(self, method: str, arguments: Mapping[int, Any]) -> dict[int, StepResult]:
        """Reset or step environments; if they fail, they are started again and taken to where they were."""
        if not arguments:
            return {}
        resumed = np.array([slot for slot in range(self._slots) if method == "step" or slot not in arguments], int)

        def act() -> dict[int, StepResult]:
            return self._pool.exchange(method, dict(arguments))

        return self._repaired(act, resumed)

    def _repaired(self, call: Callable[[], T], resumed: np.ndarray, *, fresh: bool = False) -> T:
        """A call to the environments; if they fail, they are started again and taken to where they were.

        Args:
            call: what to do.
            resumed: the environments whose episodes are to be repeated after a failure.
            fresh: whether they have to be taken there first in any case.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._pool.start()
                if attempt or fresh:
                    self._replay(resumed)
                return call()
            except WorkerError as error:
                self._pool.close()
                if attempt == ATTEMPTS - 1:
                    raise
                logger.warning("environments failed and are started again: %s", error)
            except BaseException:
                # Replies to abandoned requests may still arrive.
                self._pool.close()
                raise
        raise AssertionError("unreachable")

    def _replay(self, slots: np.ndarray) -> None:
        """Take environments through their unfinished episodes again.

        Raises:
            DataError: if one does not observe what it did.
        """
        running = slots[self._episodes[slots] >= 0]
        if not len(running):
            return
        results = self._pool.exchange("reset", self._seeds(running))
        seen = {slot: result.observation for slot, result in results.items()}
        for number in range(max(len(self._actions[slot]) for slot in running)):
            actions = {int(s): self._actions[s][number] for s in running if number < len(self._actions[s])}
            results = self._pool.exchange("step", actions)
            seen |= {slot: result.observation for slot, result in results.items()}
        for slot, observation in seen.items():
            if not np.array_equal(observation, self._observations[slot]):
                raise DataError(
                    *both(
                        f"{self._pool.environment.id} does not repeat an episode from its seed and actions, so the run "
                        f"cannot be continued exactly; --restart-episodes begins new episodes instead, which is "
                        f"recorded"
                    )
                )

    def standing(self) -> Standing:
        """Where the environments stand, for `restore`."""
        width = self._spec.action_dim
        actions = [np.zeros((0, width), np.float32), *(np.stack(a) for a in self._actions if a)]
        return Standing(
            self._begun,
            self._episodes.copy(),
            self._returns.copy(),
            self._observations.copy(),
            np.array([len(actions) for actions in self._actions]),
            np.concatenate(actions),
            self._plans.kept(),
        )

    def restore(self, standing: Standing, *, restart: bool = False) -> list[Ended]:
        """Take the environments to where they stood; returns the episodes that were given up instead.

        Args:
            standing: from `standing`.
            restart: begin new episodes instead of repeating unfinished ones.

        Raises:
            DataError: if an environment does not repeat an episode.
        """
        self._begun, self._episodes = standing.begun, np.array(standing.episodes)
        self._returns, self._observations = np.array(standing.returns), np.array(standing.observations)
        parts = np.split(standing.actions, np.cumsum(standing.lengths)[:-1])
        self._actions = [list(part) for part in parts]
        self._plans.restore(standing.plans)
        running = np.flatnonzero(self._episodes >= 0)
        if not restart:
            self._repaired(lambda: None, running, fresh=True)
            return []
        given_up = [self._ended(int(slot), None) for slot in running]
        self._episodes[:] = -1
        return given_up

    def _check_finite(self, what: str, numbers: Any) -> None:
        if not np.isfinite(numbers).all():
            raise DataError(f"{what} holds NaN or infinity (in {self._pool.environment.id}); training cannot go on")

    def _inward(self, steps: Steps) -> Steps:
        """The same steps in the learner's units."""
        units = self._units
        if units is None:
            return steps
        inward = np.clip(units.action_inward(steps.actions), -1, 1).astype(np.float32)
        return steps._replace(
            observations=units.observation_inward(steps.observations).astype(np.float32),
            actions=inward,
            next_observations=units.observation_inward(steps.next_observations).astype(np.float32),
        )
