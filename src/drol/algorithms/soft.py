"""What SAC and RLPD have in common: a squashed Gaussian actor, an ensemble of critics, and a learned temperature."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from drol.algorithm import ScalarLike, TrainState, checked_start
from drol.algorithms import operations
from drol.algorithms.learner import CriticNetworks, per_row
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.optimizers import Trained, descend, first_state, leaves, like, optimizer_of
from drol.nn.critic import CriticEnsemble
from drol.nn.squashed import SquashedActor
from drol.ops import bellman
from drol.ops.axis import make_varying, mean_over
from drol.ops.squashed import squashed_draw
from drol.policy.choice import Choice
from drol.policy.squashed import SquashedPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

IMPROVEMENT = ("actor_loss", "entropy", "temperature", "temperature_loss")
METRICS = reported(
    *CRITIC,
    actor_loss="temperature log pi(a|s) - Q(s, a) of the policy's action, mean over the batch",
    entropy="minus log pi(a|s) of the policy's action in nats, mean over the batch",
    temperature="the weight of the entropy",
    temperature_loss="the temperature times the excess of the entropy over its target",
)


class SoftNetworks(CriticNetworks):
    actor: SquashedActor
    log_temperature: Scalar
    critic: CriticEnsemble


class Improved(eqx.Module):
    """What an actor's update trains."""

    actor: SquashedActor
    log_temperature: Scalar


class SoftState(TrainState):
    """The training state of SAC and RLPD; `actor_metrics` are those of the actor's last update."""

    # Networks
    networks: SoftNetworks
    target_critic: CriticEnsemble
    # Optimizer
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    # Updates done
    actor_metrics: Metrics
    step: Int[Array, ""]


class SoftNoise(eqx.Module):
    """Standard normal draws for the next action and for the policy's own, and the members of the target's minimum."""

    next_action: Float[Array, "batch action"]
    action: Float[Array, "batch action"]
    members: Int[Array, " members"] | None


class SoftActorCritic(Trained):
    """Maximum entropy reinforcement learning with an ensemble of critics (Haarnoja et al. 2018).

    y = r + gamma mask (Q'(s', a') - temperature log pi(a'|s')), the last term only with `backup_entropy`; the actor
    minimises temperature log pi(a|s) - Q(s, a); the temperature holds the entropy at `target_entropy` per number of the
    action. All losses are taken at the parameters before the update.
    """

    discount: eqx.AbstractVar[ScalarLike]
    q_agg: eqx.AbstractVar[bellman.Aggregation]
    rho: eqx.AbstractVar[ScalarLike]
    actor_q_agg: eqx.AbstractVar[bellman.Aggregation]
    actor_rho: eqx.AbstractVar[ScalarLike]
    tau: eqx.AbstractVar[ScalarLike]
    hidden: eqx.AbstractVar[tuple[int, ...]]
    ensemble: eqx.AbstractVar[int]
    layer_norm: eqx.AbstractVar[bool]
    backup_entropy: eqx.AbstractVar[bool]
    target_entropy: eqx.AbstractVar[ScalarLike]
    initial_temperature: eqx.AbstractVar[ScalarLike]

    @property
    def period(self) -> int:
        """How many updates of the critic there are for one of the actor."""
        return 1

    @property
    def members(self) -> int | None:
        """How many members of the target critic, drawn anew for each update, make up a target; None for all."""
        return None

    def init(self, spec: Spec, *, key: Key) -> SoftState:
        actor_key, critic_key = jax.random.split(checked_start(spec, key))
        actor = SquashedActor(spec, self.hidden, key=actor_key)
        critic = CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, layer_norm=self.layer_norm, key=critic_key)
        temperature = jnp.log(jnp.asarray(self.initial_temperature, critic.members.layers[0].bias.dtype))
        networks = SoftNetworks(actor=actor, log_temperature=temperature, critic=critic)
        return SoftState(
            networks=networks,
            target_critic=jax.tree.map(jnp.copy, critic),
            actor_optimizer=first_state(self, _improved(networks)),
            critic_optimizer=first_state(self, critic),
            actor_metrics={name: jnp.zeros(()) for name in IMPROVEMENT},
            step=jnp.zeros((), jnp.int32),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> SoftNoise:
        next_key, own_key, member_key = jax.random.split(key, 3)

        def normal(key: Key) -> Float[Array, " action"]:
            return jax.random.normal(key, (spec.plan_dim,))

        drawn = None
        if self.members is not None and self.members < self.ensemble:
            drawn = jax.random.choice(member_key, self.ensemble, (self.members,), replace=False)
        return SoftNoise(per_row(normal, rows, next_key), per_row(normal, rows, own_key), drawn)

    def update(
        self, state: SoftState, batch: Batch, noise: SoftNoise, *, axis_name: AxisName | None = None
    ) -> tuple[SoftState, Metrics]:
        gradients, metrics, critic_loss, actor_loss = self._graded(state, batch, noise, axis_name)
        networks, optimizer = state.networks, optimizer_of(self)
        critic, critic_optimizer = descend(
            optimizer,
            gradients.critic,
            state.critic_optimizer,
            networks.critic,
            value=metrics["critic_loss"],
            loss=critic_loss,
            axis_name=axis_name,
        )
        before = (_improved(networks), state.actor_optimizer)
        improved, actor_optimizer = descend(
            optimizer,
            _improved(gradients),
            state.actor_optimizer,
            before[0],
            value=metrics["actor_loss"] + metrics["temperature_loss"],
            loss=actor_loss,
            axis_name=axis_name,
        )
        if self.period > 1:
            # A skipped actor skips its optimizer, too: otherwise the momentum would still move it.
            improved, actor_optimizer = jax.tree.map(
                lambda new, old: jnp.where(self._is_full(state), new, old), (improved, actor_optimizer), before
            )
        return SoftState(
            networks=SoftNetworks(actor=improved.actor, log_temperature=improved.log_temperature, critic=critic),
            # One step of lag, as in most public code: the average uses the critic from before this update.
            target_critic=bellman.target_average(state.target_critic, networks.critic, self.tau),
            actor_optimizer=actor_optimizer,
            critic_optimizer=critic_optimizer,
            actor_metrics={name: metrics[name] for name in state.actor_metrics},
            step=state.step + 1,
        ), metrics

    def gradients(
        self, state: SoftState, batch: Batch, noise: SoftNoise, *, axis_name: AxisName | None = None
    ) -> tuple[SoftNetworks, Metrics]:
        """The gradients of this update, of the whole batch if it is sharded; those of a skipped actor are 0."""
        return self._graded(state, batch, noise, axis_name)[:2]

    def policy(self, state: SoftState) -> SquashedPolicy:
        return SquashedPolicy(actor=state.networks.actor, critic=None, choice=Choice("centre"))

    def operations(self, spec: Spec) -> int | float:
        n = operations.Networks.of(self.hidden, spec)
        actor = operations.Network.of(self.hidden, 2 * spec.plan_dim, spec.observation_dim)
        targets = actor.forward() + min(self.members or self.ensemble, self.ensemble) * n.critic.forward()
        improvement = actor.learn() + self.ensemble * n.critic.guide()
        return targets + self.ensemble * n.critic.learn() + improvement / self.period

    def _is_full(self, state: SoftState) -> Bool[Array, ""]:
        """Whether this update also updates the actor; updates are counted from 1."""
        return (state.step + 1) % self.period == 0

    def _graded(
        self, state: SoftState, batch: Batch, noise: SoftNoise, axis_name: AxisName | None
    ) -> tuple[SoftNetworks, Metrics, Callable[[CriticEnsemble], Scalar], Callable[[Improved], Scalar]]:
        """Gradients and metrics, and both losses as functions of what they train."""
        networks = make_varying(state.networks, axis_name)
        targets = self._targets(state, batch, noise)
        critic_gradient, critic_metrics = mean_over(
            jax.grad(self._critic_loss, has_aux=True)(networks.critic, batch, targets), axis_name
        )
        improved = _improved(networks)

        def improvement() -> tuple[Improved, Metrics]:
            found = jax.grad(self._actor_loss, has_aux=True)(improved, networks.critic, batch, noise)
            gradient, metrics = mean_over(found, axis_name)
            return gradient, like(metrics, state.actor_metrics)

        def skipped() -> tuple[Improved, Metrics]:
            return jax.tree.map(jnp.zeros_like, leaves(_improved(state.networks))), state.actor_metrics

        if self.period == 1:
            gradient, actor_metrics = improvement()
        else:
            gradient, actor_metrics = jax.lax.cond(self._is_full(state), improvement, skipped)
        return (
            SoftNetworks(actor=gradient.actor, log_temperature=gradient.log_temperature, critic=critic_gradient),
            critic_metrics | actor_metrics,
            lambda trained: self._critic_loss(trained, batch, targets)[0],
            lambda trained: self._actor_loss(trained, networks.critic, batch, noise)[0],
        )

    @jax.named_scope("targets")
    def _targets(self, state: SoftState, batch: Batch, noise: SoftNoise) -> Float[Array, " batch"]:
        networks, slow = state.networks, state.target_critic
        actions, log_prob = squashed_draw(*networks.actor(batch.next_observations), noise.next_action)
        if noise.members is not None:
            slow = jax.tree.map(lambda stacked: stacked[noise.members], slow)
        next_values = bellman.aggregate(slow(batch.next_observations, actions), self.q_agg, self.rho)
        if self.backup_entropy:
            next_values = next_values - jnp.exp(networks.log_temperature) * log_prob
        return bellman.backup(batch.rewards, batch.masks, next_values, self.discount)

    @jax.named_scope("critic_loss")
    def _critic_loss(
        self, critic: CriticEnsemble, batch: Batch, targets: Float[Array, " batch"]
    ) -> tuple[Scalar, Metrics]:
        q_values = critic(batch.observations, batch.actions)
        loss = bellman.bellman_error(q_values, targets, batch.weights)
        return loss, {"critic_loss": loss, "q_mean": jnp.mean(q_values), "target_mean": jnp.mean(targets)}

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self, improved: Improved, critic: CriticEnsemble, batch: Batch, noise: SoftNoise
    ) -> tuple[Scalar, Metrics]:
        """The actor's loss at a constant temperature, plus the temperature's at a constant entropy."""
        actions, log_prob = squashed_draw(*improved.actor(batch.observations), noise.action)
        q_values = bellman.aggregate(critic(batch.observations, actions), self.actor_q_agg, self.actor_rho)
        temperature, entropy = jnp.exp(improved.log_temperature), -jnp.mean(log_prob)
        actor_loss = jnp.mean(jax.lax.stop_gradient(temperature) * log_prob - q_values)
        excess = jax.lax.stop_gradient(entropy) - self.target_entropy * batch.actions.shape[-1]
        temperature_loss = temperature * excess
        return actor_loss + temperature_loss, {
            "actor_loss": actor_loss,
            "entropy": entropy,
            "temperature": temperature,
            "temperature_loss": temperature_loss,
        }


def _improved(networks: SoftNetworks) -> Improved:
    return Improved(networks.actor, networks.log_temperature)
