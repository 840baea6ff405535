"""Hyperparameters that many algorithms share, declared once."""

from typing import Any

from drol.algorithm import scalar, static
from drol.hyperparameters import check_optimizer
from drol.ops import bellman


def discount(default: float = 0.99) -> Any:
    """The discount of future rewards."""
    return scalar(default, "discount gamma", high=1.0)


def tau() -> Any:
    """The rate of the target average."""
    return scalar(0.005, "target average: weight of the online network", high=1.0)


def learning_rate(default: float = 3e-4) -> Any:
    """The learning rate of Adam, without effect on another optimizer."""
    return scalar(default, "Adam's learning rate")


def max_gradient_norm(default: float) -> Any:
    """The clip of gradients."""
    return scalar(default, "global norm to which the gradients of each Adam are clipped")


def q_agg(default: bellman.Aggregation = "mean", where: str = "in the Bellman target") -> Any:
    """The aggregation of the slow critics."""
    return static(default, f"aggregation of the critics {where}", choices=bellman.AGGREGATIONS)


def rho() -> Any:
    """The pessimism of `q_agg`."""
    return scalar(0.5, "standard deviations that q_agg mean-std subtracts from the critics' mean")


def actor_q_agg(default: bellman.Aggregation = "mean", where: str = "in the actor's loss") -> Any:
    """The aggregation of the online critics."""
    return static(default, f"aggregation of the critics {where}", choices=bellman.AGGREGATIONS)


def actor_rho() -> Any:
    """The pessimism of `actor_q_agg`."""
    return scalar(0.5, "standard deviations that actor_q_agg mean-std subtracts from the critics' mean")


def normalize_q(default: bool) -> Any:
    """Whether critic guidance is divided by the mean of |Q|."""
    return static(default, "divide the actor's Q term by the batch mean of |Q|")


def hidden() -> Any:
    """The widths of the networks."""
    return static((512, 512, 512, 512), "hidden widths of every network", low=1)


def ensemble(default: int = 2) -> Any:
    """The number of critics."""
    return static(default, "members of the critic ensemble", low=1)


def flow_steps() -> Any:
    """The number of steps of a flow."""
    return static(10, "Euler steps of every flow", low=1)


def target_entropy() -> Any:
    """The entropy that a learned temperature maintains."""
    return scalar(-0.5, "entropy that the temperature maintains, in nats per number of the action", low=-100.0)


def initial_temperature() -> Any:
    """Where a learned temperature starts."""
    return scalar(1.0, "temperature before the first update", low=1e-6)


def backup_entropy(default: bool) -> Any:
    """Whether values include the entropy of later actions."""
    return static(default, "add the entropy of the next action to the Bellman target")


def layer_norm(default: bool) -> Any:
    """Whether critics are normalised."""
    return static(default, "normalise the hidden layers of the critics")


def optimizer() -> Any:
    """The optimizer in place of Adam."""
    return static(
        None,
        "an optax transform in place of Adam; those that wrap the parameters (optax.lookahead) do not work",
        check=check_optimizer,
    )
