"""What one update of each method cannot avoid: floating-point operations in matrix products, per row of the batch.

Counted by hand from the method, whatever the code does. Elementwise work (activations, layer norm, optimizer, target
averages) is left out. The conventions:

* A pass forward counts once, the gradient of the weights once, and the gradient of the inputs once in all layers but
  the first. Where the gradient goes on to the action, the first layer's share of the action counts as well.
* A network evaluated several times in the same state, at candidates or along a flow's steps, takes the observation's
  share of its first layer once; times that are the same for all rows cost nothing there.
* One value that two losses need at the same parameters and inputs counts once.
"""

import itertools
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from drol.algorithms.sorl import STEPS
from drol.types import Spec

Flop = int | float


class Network(NamedTuple):
    """The products of an MLP on concat(s, x, conditions), by which part of its input they multiply.

    Attributes:
        observation: the first layer's share of s.
        point: the first layer's share of x: an action, a latent, or a point of a flow.
        conditions: the first layer's share of whatever follows.
        rest: all further layers.
    """

    observation: int
    point: int
    conditions: int
    rest: int

    @classmethod
    def of(cls, hidden: tuple[int, ...], fan_out: int, observation: int, point: int = 0, conditions: int = 0):
        """From the widths of its layers and of the parts of its input."""
        first = 2 * hidden[0]
        rest = sum(2 * m * n for m, n in itertools.pairwise((*hidden, fan_out)))
        return cls(first * observation, first * point, first * conditions, rest)

    def forward(self, count: int = 1) -> int:
        """At `count` points in the same state."""
        return self.observation + count * (self.point + self.conditions + self.rest)

    def learn(self) -> int:
        """Forward, and back to the weights."""
        return 2 * self.forward() + self.rest

    def guide(self) -> int:
        """Forward, and back to the point alone: the weights are constants."""
        return self.forward() + self.rest + self.point

    def euler(self, steps: int) -> int:
        """The steps of a flow from a latent."""
        return self.observation + steps * (self.point + self.rest)

    def learn_euler(self, steps: int) -> int:
        """The steps of a flow, and back through all of them to the weights; the latent needs no gradient."""
        return 2 * self.euler(steps) + steps * self.rest + (steps - 1) * self.point


class Networks(NamedTuple):
    """The networks that methods are made of, in the sizes of one algorithm; not all of them in any."""

    mean: Network
    actor: Network
    flow: Network
    shortcut: Network
    value: Network
    critic: Network
    critic_of_steps: Network

    @classmethod
    def of(cls, algorithm: Any, spec: Spec) -> "Networks":
        o, d, hidden = spec.observation_dim, spec.action_dim, algorithm.hidden
        return cls(
            mean=Network.of(hidden, d, o),
            actor=Network.of(hidden, d, o, d),
            flow=Network.of(hidden, d, o, d, 1),
            shortcut=Network.of(hidden, d, o, d, 2),
            value=Network.of(hidden, 1, o),
            critic=Network.of(hidden, 1, o, d),
            critic_of_steps=Network.of(hidden, 1, o, d, 1),
        )


def row_flop(algorithm: Any, spec: Spec) -> float:
    """The operations of one update per row of its batch, the expectation where updates differ.

    Raises:
        ValueError: for an algorithm that nobody has counted.
    """
    if algorithm.name not in COUNTS:
        raise ValueError(f"no operations are counted for {algorithm.name!r}; add its count to {__name__}.COUNTS")
    return float(COUNTS[algorithm.name](algorithm, Networks.of(algorithm, spec)))


def _drol(algorithm: Any, n: Networks) -> Flop:
    candidates, backup, ensemble = algorithm.num_candidates, algorithm.backup_candidates, algorithm.ensemble
    routing = n.actor.forward(candidates) if candidates > 1 else 0
    # The target's critic sees every next action by itself: its products are not shared within a state.
    targets = n.actor.forward(backup) + backup * ensemble * n.critic.forward()
    return routing + n.actor.learn() + targets + ensemble * (n.critic.guide() + n.critic.learn())


def _bc(algorithm: Any, n: Networks) -> Flop:
    return n.mean.learn()


def _flow_bc(algorithm: Any, n: Networks) -> Flop:
    return n.flow.learn()


def _implicit(algorithm: Any, n: Networks) -> Flop:
    """IQL's value and critic: V learns from Q'(s, a), Q from V(s')."""
    return n.value.learn() + n.value.forward() + algorithm.ensemble * (n.critic.forward() + n.critic.learn())


def _iql(algorithm: Any, n: Networks) -> Flop:
    # The advantage's Q(s, a) and V(s) are those of the critic's and the value's loss.
    guidance = 0 if algorithm.extraction == "awr" else algorithm.ensemble * n.critic.guide()
    return _implicit(algorithm, n) + n.mean.learn() + guidance


def _ifql(algorithm: Any, n: Networks) -> Flop:
    return _implicit(algorithm, n) + n.flow.learn()


def _critic(algorithm: Any, n: Networks) -> Flop:
    """The Bellman error, given next actions: Q'(s', a') forward, Q(s, a) learns."""
    return algorithm.ensemble * (n.critic.forward() + n.critic.learn())


def _rebrac(algorithm: Any, n: Networks) -> Flop:
    improvement = n.mean.learn() + algorithm.ensemble * n.critic.guide()
    return n.mean.forward() + _critic(algorithm, n) + improvement / algorithm.actor_period


def _fawac(algorithm: Any, n: Networks) -> Flop:
    # The advantage's Q(s, a) and V(s) are those of the losses; V's own target Q'(s, a) is one pass more.
    value = n.value.learn() + algorithm.ensemble * n.critic.forward()
    return n.flow.euler(algorithm.flow_steps) + _critic(algorithm, n) + value + n.flow.learn()


def _fbrac(algorithm: Any, n: Networks) -> Flop:
    steps = algorithm.flow_steps
    improvement = n.flow.learn_euler(steps) + algorithm.ensemble * n.critic.guide()
    return n.flow.euler(steps) + _critic(algorithm, n) + n.flow.learn() + improvement


def _fql(algorithm: Any, n: Networks) -> Flop:
    distillation = n.flow.euler(algorithm.flow_steps) + n.actor.learn()
    guidance = algorithm.ensemble * n.critic.guide()
    return n.actor.forward() + _critic(algorithm, n) + n.flow.learn() + distillation + guidance


def _meanflow_ql(algorithm: Any, n: Networks) -> Flop:
    # Times differ from row to row, yet one number per row times one row of weights is elementwise work.
    candidates, ensemble, field = algorithm.num_candidates, algorithm.ensemble, n.actor
    # The derivative along the line is one more pass forward from the point on.
    derivative = field.point + field.rest
    # Matching and guidance evaluate the field in one state, and learn from both.
    learn = 2 * field.forward(2) + 2 * field.rest
    targets = field.forward(candidates) + candidates * ensemble * n.critic.forward()
    return targets + derivative + learn + ensemble * (n.critic.guide() + n.critic.learn())


def _reform(algorithm: Any, n: Networks) -> Flop:
    # The flow of latents has the shape of the data's flow.
    steps, generator = algorithm.flow_steps, n.flow
    targets = generator.euler(steps) + n.actor.forward()
    distillation = n.flow.euler(steps) + n.actor.learn()
    improvement = generator.learn_euler(steps) + n.actor.guide() + algorithm.ensemble * n.critic.guide()
    return targets + _critic(algorithm, n) + n.flow.learn() + distillation + improvement


def _deflow(algorithm: Any, n: Networks) -> Flop:
    # The refiner sees an observation and an action, as a one-step actor an observation and a latent.
    steps, refiner = algorithm.flow_steps, n.actor
    improvement = n.flow.euler(steps) + refiner.learn() + algorithm.ensemble * n.critic.guide()
    return n.flow.euler(steps) + refiner.forward() + _critic(algorithm, n) + n.flow.learn() + improvement


def _sorl(algorithm: Any, n: Networks) -> Flop:
    """The numbers of steps, drawn for the targets and for the actor, are equally likely."""
    critic, ensemble = n.critic_of_steps, algorithm.ensemble
    matching = n.shortcut.learn()
    # Two steps of the target in one state, at different times, make the target of one step twice as long.
    consistency = n.shortcut.forward(2) + n.shortcut.learn()
    improvement = statistics.mean(n.shortcut.learn_euler(steps) for steps in STEPS) + ensemble * critic.guide()
    if algorithm.public_update:
        # The Bellman error moves the actor as well, by way of the next actions.
        targets = improvement
    else:
        targets = statistics.mean(n.shortcut.euler(steps) for steps in STEPS) + ensemble * critic.forward()
    return matching + consistency + targets + ensemble * critic.learn() + improvement


COUNTS: Mapping[str, Callable[[Any, Networks], Flop]] = {
    "drol": _drol,
    "bc": _bc,
    "flow-bc": _flow_bc,
    "iql": _iql,
    "rebrac": _rebrac,
    "fawac": _fawac,
    "fbrac": _fbrac,
    "ifql": _ifql,
    "sorl": _sorl,
    "deflow": _deflow,
    "fql": _fql,
    "meanflow-ql": _meanflow_ql,
    "reform": _reform,
}
"""By the names of `drol.algorithms.registry`."""
