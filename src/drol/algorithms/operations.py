"""Hand counts of the floating-point operations in matrix products that one update needs at least, per row of its batch.

Each method's `operations` counts what the method requires, whatever the code does. Elementwise work (activations, layer
norm, optimizer, target averages) is left out. The conventions:

* A forward pass counts once, the gradient of the weights once, and the gradient of the inputs once in all layers but
  the first. If the gradient continues to the action, the first layer's share of the action counts as well.
* A network evaluated several times in the same state, at candidates or along a flow's steps, computes the observation's
  share of its first layer once; times that are the same for all rows cost nothing there.
* A value that two losses need at the same parameters and inputs counts once.
"""

import itertools
from typing import NamedTuple

from drol.types import Spec


class Network(NamedTuple):
    """The matrix products of an MLP on concat(s, x, conditions), by the part of the input that they multiply.

    Attributes:
        observation: the first layer's share of s.
        point: the first layer's share of x: an action, a latent, or a point of a flow.
        conditions: the first layer's share of the conditions.
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
        """Forward passes at `count` points in the same state."""
        return self.observation + count * (self.point + self.conditions + self.rest)

    def learn(self) -> int:
        """A forward pass, and a backward pass to the weights."""
        return 2 * self.forward() + self.rest

    def guide(self) -> int:
        """A forward pass, and a backward pass to the point only: the weights are constants."""
        return self.forward() + self.rest + self.point

    def euler(self, steps: int) -> int:
        """The steps of a flow from a latent."""
        return self.observation + steps * (self.point + self.rest)

    def learn_euler(self, steps: int) -> int:
        """The steps of a flow, and a backward pass through all of them to the weights; the latent needs no gradient."""
        return 2 * self.euler(steps) + steps * self.rest + (steps - 1) * self.point


class Networks(NamedTuple):
    """The networks that methods use, in one size; no method has all of them."""

    mean: Network
    actor: Network
    flow: Network
    shortcut: Network
    value: Network
    critic: Network
    critic_of_steps: Network

    @classmethod
    def of(cls, hidden: tuple[int, ...], spec: Spec) -> "Networks":
        """With these hidden widths."""
        o, d = spec.observation_dim, spec.plan_dim
        return cls(
            mean=Network.of(hidden, d, o),
            actor=Network.of(hidden, d, o, d),
            flow=Network.of(hidden, d, o, d, 1),
            shortcut=Network.of(hidden, d, o, d, 2),
            value=Network.of(hidden, 1, o),
            critic=Network.of(hidden, 1, o, d),
            critic_of_steps=Network.of(hidden, 1, o, d, 1),
        )


def implicit_values(n: Networks, ensemble: int) -> int:
    """IQL's value and critic: V is trained on Q'(s, a), Q on V(s')."""
    return n.value.learn() + n.value.forward() + ensemble * (n.critic.forward() + n.critic.learn())


def temporal_difference(n: Networks, ensemble: int) -> int:
    """The Bellman error, given next actions: a forward pass of Q'(s', a'), and training of Q(s, a)."""
    return ensemble * (n.critic.forward() + n.critic.learn())
