"""IQL: values in the data's support by expectile regression, policy by weighted cloning (Kostrikov et al. 2022)."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.learner import CriticGiven, CriticLearner, CriticNetworks, CriticState
from drol.algorithms.metrics import IMPLICIT, reported
from drol.algorithms.tables import D4RL_TASKS, FQL_PAPER, Column, OGBench, inferred, is_antmaze, preset
from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble, Value
from drol.nn.gaussian import MeanActor
from drol.ops import bellman, losses
from drol.policy import Choice, MeanPolicy
from drol.published import Preset, Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

EXTRACTIONS = ("awr", "ddpg+bc")


COLUMN = Column("iql", ("inverse_temperature",), FQL_PAPER, always={"expectile": 0.9}, chooses_aggregation=False)
CORL = "tinkoff-ai/CORL: configs/offline/iql"
NORMALIZED = "observations are normalized (--normalize-observations) and networks have two layers of 256"
MANIPULATION = ("cube", "scene", "puzzle")


def _smaller(preset: Preset) -> Preset:
    """On manipulation, IQL's smaller networks; whether IFQL's were of that size too is not stated."""
    if preset.family.startswith(MANIPULATION):
        return dataclasses.replace(preset, at_size={"paper": {"hidden": (256, 256, 256, 256)}})
    return preset


def _on_d4rl(task: str) -> Preset:
    """beta and iql_tau of CORL's configurations, the same within a family; on antmaze they are also temperature and
    expectile of ikostrikov/implicit_q_learning: configs/antmaze_config.py."""
    if is_antmaze(task):
        return preset("iql", task, {"inverse_temperature": 10.0, "expectile": 0.9}, CORL, beside=NORMALIZED)
    dropout = f"the actor has dropout of 0.1, which is not implemented; {NORMALIZED}"
    return preset("iql", task, {"inverse_temperature": 3.0, "expectile": 0.8}, CORL, beside=dropout)


PUBLISHED = Published(
    advice="tune --inverse-temperature first; published: 0.3 to 10",
    fields=COLUMN.fields,
    presets=(
        *map(_smaller, COLUMN.ogbench(OGBench(10, 10, 10, 10, inferred(1), 1, 0.3, 10, 10, 3))),
        *map(_on_d4rl, D4RL_TASKS),
    ),
)


class ValueNetworks(CriticNetworks):
    """Networks with Q and V among them."""

    value: eqx.AbstractVar[Value]


class IQLNetworks(ValueNetworks):
    actor: MeanActor
    value: Value
    critic: CriticEnsemble


class IQLNoise(eqx.Module):
    """IQL has no random draws."""


class IQL(CriticLearner[IQLNetworks, IQLNoise]):
    """No action outside the data is ever evaluated: V is an upper expectile of Q over the data's actions.

    The policy is a Gaussian of unit variance, cloned with weights exp(beta (Q - V)) (`extraction` awr), or guided by
    the critic and regularised by the likelihood of the data (ddpg+bc). Evaluated at the mean.

    As in the public code of the published results, the advantage uses the online critic's minimum, and the critic's
    loss is summed over its members, not averaged.
    """

    name: ClassVar[str] = "iql"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported("actor_loss", "bc_loss", **IMPLICIT)

    inverse_temperature: ScalarLike = scalar(10.0, "beta of the weights exp(beta A); tune from 0.3 to 10")
    expectile: ScalarLike = scalar(0.9, "expectile kappa of V's regression", high=1.0)
    extraction: str = static("awr", "how the policy is extracted", choices=EXTRACTIONS)
    bc_coef: ScalarLike = scalar(1.0, "weight of the log-likelihood, with ddpg+bc")
    discount: ScalarLike = fields.discount()
    q_agg: bellman.Aggregation = fields.q_agg("min", "in the target of V")
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg("min", "in the advantage, and in the actor's loss")
    actor_rho: ScalarLike = fields.actor_rho()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> IQLNetworks:
        actor_key, value_key, critic_key = jax.random.split(key, 3)
        return IQLNetworks(
            actor=MeanActor(spec, self.hidden, key=actor_key),
            value=Value(spec, self.hidden, key=value_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> IQLNoise:
        return IQLNoise()

    def loss(self, networks: IQLNetworks, given: CriticGiven[IQLNetworks, IQLNoise]) -> tuple[Scalar, Metrics]:
        critic_loss, advantages, critic_metrics = implicit_values(
            networks,
            given,
            expectile=self.expectile,
            discount=self.discount,
            q_agg=self.q_agg,
            rho=self.rho,
            actor_q_agg=self.actor_q_agg,
            actor_rho=self.actor_rho,
        )
        actor_loss, actor_metrics = self._actor_loss(networks.actor, advantages, given)
        return critic_loss + actor_loss, critic_metrics | actor_metrics

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self, actor: MeanActor, advantages: Float[Array, " batch"], given: CriticGiven[IQLNetworks, IQLNoise]
    ) -> tuple[Scalar, Metrics]:
        critic, batch = given.networks.critic, given.batch
        means = actor(batch.observations)
        log_prob = losses.gaussian_log_prob(means, batch.actions, batch.valid)
        if self.extraction == "awr":
            weighted = losses.advantage_weights(advantages, self.inverse_temperature) * log_prob
            loss = -losses.row_mean(weighted, batch.weights)
        else:
            q_values = critic(batch.observations, clip_action(means))
            q_values = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
            guidance = losses.q_loss(q_values, normalize=True, axis_name=given.axis_name)
            loss = guidance - self.bc_coef * jnp.mean(log_prob)
        bc = losses.behaviour_cloning(means, batch.actions, batch.valid)
        return loss, {"actor_loss": loss, "bc_loss": jnp.mean(bc)}

    def policy(self, state: CriticState[IQLNetworks]) -> MeanPolicy:
        return MeanPolicy(
            actor=state.networks.actor, critic=state.networks.critic, choice=Choice("centre", q_agg="min")
        )

    def operations(self, spec: Spec) -> int | float:
        n = operations.Networks.of(self.hidden, spec)
        # The advantage reuses Q(s, a) and V(s) of the critic's and the value's loss.
        guidance = 0 if self.extraction == "awr" else self.ensemble * n.critic.guide()
        return operations.implicit_values(n, self.ensemble) + n.mean.learn() + guidance


@jax.named_scope("critic_loss")
def implicit_values(
    networks: ValueNetworks,
    given: CriticGiven[Any, Any],
    *,
    expectile: ScalarLike,
    discount: ScalarLike,
    q_agg: bellman.Aggregation = "min",
    rho: ScalarLike = 0.5,
    actor_q_agg: bellman.Aggregation = "min",
    actor_rho: ScalarLike = 0.5,
) -> tuple[Scalar, Float[Array, " batch"], Metrics]:
    """The sum of the losses of V and Q, and the advantages Q(s, a) - V(s), held constant.

    L_V = expectile(Q'(s, a) - V(s)), L_Q = sum_i mean (Q_i(s, a) - r - gamma mask V(s'))^2.

    Args:
        networks: V and Q.
        given: Q', the batch, and V held constant.
        expectile: kappa.
        discount: gamma.
        q_agg, rho: how Q' is aggregated.
        actor_q_agg, actor_rho: how Q is aggregated in the advantages.

    Returns:
        The sum of both losses, the advantages, and what to report.
    """
    fixed, batch = given.networks, given.batch
    slow_q = bellman.aggregate(given.target_critic(batch.observations, batch.actions), q_agg, rho)
    values = networks.value(batch.observations)
    value_loss = losses.expectile(slow_q - values, expectile, batch.weights)
    targets = bellman.backup(batch.rewards, batch.masks, fixed.value(batch.next_observations), discount)
    q_values = networks.critic(batch.observations, batch.actions)
    critic_loss = q_values.shape[0] * bellman.bellman_error(q_values, targets, batch.weights)
    advantages = jax.lax.stop_gradient(bellman.aggregate(q_values, actor_q_agg, actor_rho) - values)
    return (
        value_loss + critic_loss,
        advantages,
        {
            "critic_loss": critic_loss,
            "value_loss": value_loss,
            "q_mean": jnp.mean(q_values),
            "target_mean": jnp.mean(targets),
            "value_mean": jnp.mean(values),
        },
    )
