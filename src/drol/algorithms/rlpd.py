"""RLPD: soft actor-critic with prior data (Ball et al. 2023)."""

from collections.abc import Mapping
from typing import ClassVar

import optax

from drol.algorithm import ScalarLike, static
from drol.algorithms import fields
from drol.algorithms.soft import METRICS, SoftActorCritic
from drol.ops import bellman
from drol.published import Published

PUBLISHED = Published(
    advice="it learns online; tune --target-members (1 on antmaze, 2 elsewhere) and the updates per step (1 to 20)"
)


class RLPD(SoftActorCritic):
    """Soft actor-critic with ten normalised critics, for learning online from batches of which half are prior data.

    A target takes the minimum of `target_members` critics, drawn anew for each update, and the actor the mean of all.
    Evaluated at the tanh of the mean; it explores with draws.

    With several updates per step of the environment, the published code updates the actor after the last of them only:
    `actor_period` equal to that number does so.
    """

    name: ClassVar[str] = "rlpd"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = METRICS

    target_members: int = static(2, "members of the target critic, drawn for each update, that make up a target", low=1)
    actor_period: int = static(1, "critic updates per actor update", low=1)
    target_entropy: ScalarLike = fields.target_entropy()
    initial_temperature: ScalarLike = fields.initial_temperature()
    backup_entropy: bool = fields.backup_entropy(False)
    layer_norm: bool = fields.layer_norm(True)
    discount: ScalarLike = fields.discount()
    q_agg: bellman.Aggregation = fields.q_agg("min")
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg("mean")
    actor_rho: ScalarLike = fields.actor_rho()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble(10)
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    @property
    def period(self) -> int:
        return self.actor_period

    @property
    def members(self) -> int:
        return self.target_members
