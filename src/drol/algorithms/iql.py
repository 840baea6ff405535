"""IQL: values in the data's support by expectile regression, policy by weighted cloning (Kostrikov et al. 2022)."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields
from drol.algorithms.learner import Learner, LearnerState
from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble, Value
from drol.nn.gaussian import MeanActor
from drol.ops import bellman, losses
from drol.policy import MeanPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

EXTRACTIONS = ("awr", "ddpg+bc")


class IQLNetworks(eqx.Module):
    """What IQL trains."""

    actor: MeanActor
    value: Value
    critic: CriticEnsemble


class IQLNoise(eqx.Module):
    """IQL draws nothing."""


class IQL(Learner):
    """No action outside the data is ever valued: V is an upper expectile of Q over the data's actions.

    The policy is a Gaussian of unit variance, cloned with weights exp(beta (Q - V)) (`extraction` awr), or moved by
    the critic and held by the likelihood of the data (ddpg+bc). Evaluated at the mean.

    As in the public code of the published results, the advantage takes the online critic's minimum, and the critic's
    loss adds up its members instead of averaging them.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "iql"

    inverse_temperature: ScalarLike = scalar(10.0, "beta of the weights exp(beta A); tune from 0.3 to 10")
    expectile: ScalarLike = scalar(0.9, "kappa of V's regression", high=1.0)
    extraction: str = static("awr", "how the policy is extracted", choices=EXTRACTIONS)
    bc_coef: ScalarLike = scalar(1.0, "weight of the log-likelihood, with ddpg+bc")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> IQLNetworks:
        actor_key, value_key, critic_key = jax.random.split(key, 3)
        return IQLNetworks(
            MeanActor(spec, self.hidden, key=actor_key),
            Value(spec, self.hidden, key=value_key),
            CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> IQLNoise:
        return IQLNoise()

    def loss(
        self,
        networks: IQLNetworks,
        fixed: IQLNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: IQLNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        critic_loss, advantages, critic_metrics = implicit_values(
            networks, fixed, target_critic, batch, expectile=self.expectile, discount=self.discount
        )
        actor_loss, actor_metrics = self._actor_loss(networks.actor, fixed.critic, advantages, batch, axis_name)
        return critic_loss + actor_loss, critic_metrics | actor_metrics

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self,
        actor: MeanActor,
        critic: CriticEnsemble,
        advantages: Float[Array, " batch"],
        batch: Batch,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        means = actor(batch.observations)
        log_prob = losses.gaussian_log_prob(means, batch.actions)
        if self.extraction == "awr":
            loss = -jnp.mean(losses.advantage_weights(advantages, self.inverse_temperature) * log_prob)
        else:
            q_values = bellman.aggregate(critic(batch.observations, clip_action(means)), "min")
            guidance = losses.q_loss(q_values, normalize=True, axis_name=axis_name)
            loss = guidance - self.bc_coef * jnp.mean(log_prob)
        return loss, {"actor_loss": loss, "bc_loss": jnp.mean(losses.behaviour_cloning(means, batch.actions))}

    def policy(self, state: LearnerState) -> MeanPolicy:
        return MeanPolicy(actor=state.networks.actor, critic=state.networks.critic, q_agg="min")


@jax.named_scope("critic_loss")
def implicit_values(
    networks: Any,
    fixed: Any,
    target_critic: CriticEnsemble | None,
    batch: Batch,
    *,
    expectile: ScalarLike,
    discount: ScalarLike,
) -> tuple[Scalar, Float[Array, " batch"], Metrics]:
    """The losses of V and Q together, and the advantages min Q(s, a) - V(s) as constants.

    L_V = expectile(min Q'(s, a) - V(s)), L_Q = sum_i mean (Q_i(s, a) - r - gamma mask V(s'))^2.

    Args:
        networks: has `value` and `critic`.
        fixed: the same as constants.
        target_critic: Q'.
        batch: transitions.
        expectile: kappa.
        discount: gamma.
    """
    assert target_critic is not None
    slow_q = bellman.aggregate(target_critic(batch.observations, batch.actions), "min")
    values = networks.value(batch.observations)
    value_loss = losses.expectile(slow_q - values, expectile)
    targets = bellman.backup(batch.rewards, batch.masks, fixed.value(batch.next_observations), discount)
    q_values = networks.critic(batch.observations, batch.actions)
    critic_loss = q_values.shape[0] * bellman.bellman_error(q_values, targets)
    advantages = jax.lax.stop_gradient(bellman.aggregate(q_values, "min") - values)
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
