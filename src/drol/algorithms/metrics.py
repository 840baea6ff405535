"""What the metrics of an update are, described once for all methods that report them."""

from collections.abc import Mapping

COMMON = {
    "critic_loss": "squared error of Q(s, a) and its target, mean over batch and ensemble",
    "q_mean": "Q(s, a) of the data's actions, mean over batch and ensemble",
    "target_mean": "the critic's target, mean over the batch",
    "value_mean": "V(s), mean over the batch",
    "actor_loss": "the loss that trains the actor, all its terms weighted",
    "bc_loss": "squared error of the policy's action and the data's, mean over action dimensions and batch",
    "flow_loss": "squared error of flow matching on the data's actions, mean over action dimensions and batch",
    "distillation_loss": "squared error of the actor's action and the flow's, mean over action dimensions and batch",
    "q_loss": "minus Q of the policy's action, mean over the batch, scaled if `normalize_q` is set",
}
"""Metrics of several methods: the same name means the same."""


def reported(*common: str, **own: str) -> Mapping[str, str]:
    """What a method reports: names from `COMMON`, and its own metrics with their descriptions."""
    return {name: COMMON[name] for name in common} | own


CRITIC = ("critic_loss", "q_mean", "target_mean")
"""What most methods with a critic report."""

IMPLICIT = {
    "critic_loss": "squared error of Q(s, a) and its target, mean over the batch and summed over the ensemble",
    "value_loss": "expectile loss of V(s) against the target critic's lowest Q(s, a), mean over the batch",
    **{name: COMMON[name] for name in ("q_mean", "target_mean", "value_mean")},
}
"""What methods with implicit values report."""
