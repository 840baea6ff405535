"""SAC: soft actor-critic with a learned temperature (Haarnoja et al. 2018)."""

from collections.abc import Mapping
from typing import ClassVar

import optax

from drol.algorithm import ScalarLike
from drol.algorithms import fields
from drol.algorithms.soft import METRICS, SoftActorCritic
from drol.ops import bellman
from drol.published import Published

PUBLISHED = Published(advice="it learns online; tune --learning-rate, and --discount with the length of the task")


class SAC(SoftActorCritic):
    """Soft actor-critic, for learning online: on fixed data alone, nothing keeps its actions near the data's.

    y = r + gamma mask (Q'(s', a') - temperature log pi(a'|s')), with the minimum of two critics. Evaluated at the tanh
    of the mean; it explores with draws.
    """

    name: ClassVar[str] = "sac"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = METRICS

    target_entropy: ScalarLike = fields.target_entropy()
    initial_temperature: ScalarLike = fields.initial_temperature()
    backup_entropy: bool = fields.backup_entropy(True)
    layer_norm: bool = fields.layer_norm(False)
    discount: ScalarLike = fields.discount()
    q_agg: bellman.Aggregation = fields.q_agg("min")
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg("min")
    actor_rho: ScalarLike = fields.actor_rho()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()
