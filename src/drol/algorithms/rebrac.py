"""ReBRAC: a deterministic actor with penalties on actor and critic (Tarasov et al. 2023)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from drol.algorithm import ScalarLike, TrainState, checked_start, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.learner import CriticNetworks, per_row
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.optimizers import Trained, Tree, descend, first_state, leaves, like, optimizer_of
from drol.algorithms.tables import D4RL, FQL_PAPER, Column, OGBench, inferred, is_antmaze
from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.gaussian import MeanActor
from drol.ops import bellman, losses
from drol.ops.axis import make_varying, mean_over
from drol.policy import Choice, MeanPolicy
from drol.published import Preset, Published
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

COLUMN = Column("rebrac", ("alpha_actor", "alpha_critic"), FQL_PAPER, chooses_aggregation=False)
CORL = "tinkoff-ai/CORL: configs/offline/rebrac"

# actor_bc_coef and critic_bc_coef of CORL's configurations, whose gamma is 0.999 on antmaze and 0.99 on adroit.
ON_D4RL = D4RL(
    antmaze=((0.003, 0.002), (0.003, 0.001), (0.001, 0.0005), (0.001, 0), (0.002, 0.001), (0.002, 0.002)),
    pen=((0.1, 0.5), (0.05, 0.5), (0.01, 0.01)),
    door=((0.1, 0.1), (0.01, 0.1), (0.05, 0.01)),
    hammer=((0.01, 0.5), (0.1, 0.5), (0.01, 0.01)),
    relocate=((0.1, 0.01), (0.1, 0.01), (0.05, 0.01)),
)


def _on_d4rl(found: Preset) -> Preset:
    beside = "networks have three layers of 256"
    if not is_antmaze(found.family):
        return dataclasses.replace(found, source=CORL, beside=beside)
    scaled = (
        "rewards are 100 at the goal and 0 elsewhere (0 and -1 here), and the critic's learning rate is 5e-5, which "
        f"cannot be set separately here; {beside}"
    )
    return dataclasses.replace(found, values={**found.values, "discount": 0.999}, source=CORL, beside=scaled)


PUBLISHED = Published(
    advice="tune --alpha-actor first, then --alpha-critic; published: 0.001 to 1, and 0 to 0.5",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(
            OGBench(
                antmaze_large=(0.003, 0.01),
                antmaze_giant=(0.003, 0.01),
                humanoidmaze_medium=(0.01, 0.01),
                humanoidmaze_large=(0.01, 0.01),
                antsoccer_arena=inferred(0.01, 0.01),
                cube_single=(1, 0),
                cube_double=(0.1, 0),
                scene=(0.1, 0.01),
                puzzle_3x3=(0.3, 0.01),
                puzzle_4x4=(0.3, 0.01),
            )
        ),
        *map(_on_d4rl, COLUMN.d4rl(ON_D4RL)),
    ),
)


class ReBRACNetworks(CriticNetworks):
    actor: MeanActor
    critic: CriticEnsemble


class ReBRACState(TrainState):
    """The training state of ReBRAC; `actor_metrics` are those of the actor's last update."""

    # Networks
    networks: ReBRACNetworks
    target_actor: MeanActor
    target_critic: CriticEnsemble
    # Optimizer
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    # Updates done
    actor_metrics: Metrics
    step: Int[Array, ""]


class ReBRACNoise(eqx.Module):
    """Standard normal, before the draws are scaled and clipped."""

    target_noise: Float[Array, "batch action"]


class ReBRAC(Trained):
    """TD3 with behaviour cloning in both losses: of the actor, and of the next action in the Bellman target.

    The actor and both target networks are updated at every `actor_period`-th update; in between, the actor's metrics
    are those of its last one. The critic's penalty compares the target actor's next action with the data's next action;
    at the end of an episode, where none was recorded, the last action takes its place.

    In the public code one Adam serves both networks, so in updates that skip the actor its momentum still moves the
    actor, and its moments decay. `public_momentum` does the same; otherwise a skipped actor stays where it is.

    Under `vmap` over seeds nothing is skipped: the unused results are computed and discarded.
    """

    name: ClassVar[str] = "rebrac"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(*CRITIC, "actor_loss", "bc_loss", "q_loss")

    alpha_actor: ScalarLike = scalar(0.01, "weight of cloning in the actor's loss; tune from 0.001 to 1")
    alpha_critic: ScalarLike = scalar(0.01, "weight of the penalty in the Bellman target; tune from 0 to 0.5")
    target_noise: float = static(0.2, "standard deviation of the noise on next actions", low=0)
    noise_limit: float = static(0.5, "bound to which that noise is clipped", low=0)
    actor_period: int = static(2, "critic updates per actor update", low=1)
    public_momentum: bool = static(False, "let Adam's momentum move the actor in skipped updates")
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

    def init(self, spec: Spec, *, key: Key) -> ReBRACState:
        actor_key, critic_key = jax.random.split(checked_start(spec, key))
        actor = MeanActor(spec, self.hidden, key=actor_key)
        critic = CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key)
        return ReBRACState(
            networks=ReBRACNetworks(actor=actor, critic=critic),
            target_actor=jax.tree.map(jnp.copy, actor),
            target_critic=jax.tree.map(jnp.copy, critic),
            actor_optimizer=first_state(self, actor),
            critic_optimizer=first_state(self, critic),
            actor_metrics={name: jnp.zeros(()) for name in ("actor_loss", "bc_loss", "q_loss")},
            step=jnp.zeros((), jnp.int32),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> ReBRACNoise:
        return ReBRACNoise(per_row(lambda key: jax.random.normal(key, (spec.plan_dim,)), rows, key))

    def update(
        self, state: ReBRACState, batch: Batch, noise: ReBRACNoise, *, axis_name: AxisName | None = None
    ) -> tuple[ReBRACState, Metrics]:
        gradients, metrics, critic_loss = self._graded(state, batch, noise, axis_name)
        networks, full = state.networks, self._is_full(state)
        apply = functools.partial(descend, optimizer_of(self), axis_name=axis_name)
        critic, critic_optimizer = apply(
            gradients.critic, state.critic_optimizer, networks.critic, value=metrics["critic_loss"], loss=critic_loss
        )
        fixed = make_varying(networks.critic, axis_name)
        actor, actor_optimizer = apply(
            gradients.actor,
            state.actor_optimizer,
            networks.actor,
            value=metrics["actor_loss"],
            loss=lambda trained: self._actor_loss(trained, fixed, batch, axis_name)[0],
        )
        if not self.public_momentum:
            moved, stayed = (actor, actor_optimizer), (networks.actor, state.actor_optimizer)
            actor, actor_optimizer = _where(full, moved, stayed)
        # One step of lag, as in the public code: the averages use the networks from before this update.
        slow = (state.target_actor, state.target_critic)
        averages = bellman.target_average(slow, (networks.actor, networks.critic), self.tau)
        target_actor, target_critic = _where(full, averages, slow)
        return ReBRACState(
            networks=ReBRACNetworks(actor=actor, critic=critic),
            target_actor=target_actor,
            target_critic=target_critic,
            actor_optimizer=actor_optimizer,
            critic_optimizer=critic_optimizer,
            actor_metrics={name: metrics[name] for name in state.actor_metrics},
            step=state.step + 1,
        ), metrics

    def gradients(
        self, state: ReBRACState, batch: Batch, noise: ReBRACNoise, *, axis_name: AxisName | None = None
    ) -> tuple[ReBRACNetworks, Metrics]:
        """The gradients of this update, of the whole batch if it is sharded; a skipped actor's are 0."""
        gradients, metrics, _ = self._graded(state, batch, noise, axis_name)
        return gradients, metrics

    def _graded(
        self, state: ReBRACState, batch: Batch, noise: ReBRACNoise, axis_name: AxisName | None
    ) -> tuple[ReBRACNetworks, Metrics, Callable[[CriticEnsemble], Scalar]]:
        """Gradients and metrics, and the critic's loss as a function of what it trains."""
        networks = make_varying(state.networks, axis_name)
        targets = self._targets(state, batch, noise)
        critic_gradient, critic_metrics = mean_over(
            jax.grad(self._critic_loss, has_aux=True)(networks.critic, batch, targets), axis_name
        )

        def actor_gradient() -> tuple[MeanActor, Metrics]:
            gradient = jax.grad(self._actor_loss, has_aux=True)(networks.actor, networks.critic, batch, axis_name)
            gradient, metrics = mean_over(gradient, axis_name)
            return gradient, like(metrics, state.actor_metrics)

        def skipped() -> tuple[MeanActor, Metrics]:
            return jax.tree.map(jnp.zeros_like, leaves(state.networks.actor)), state.actor_metrics

        actor_gradients, actor_metrics = jax.lax.cond(self._is_full(state), actor_gradient, skipped)
        return (
            ReBRACNetworks(actor_gradients, critic_gradient),
            critic_metrics | actor_metrics,
            lambda trained: self._critic_loss(trained, batch, targets)[0],
        )

    def policy(self, state: ReBRACState) -> MeanPolicy:
        return MeanPolicy(
            actor=state.networks.actor,
            critic=state.networks.critic,
            choice=Choice("centre", q_agg="min"),
            bound="tanh",
            std=self.target_noise,
            noise_limit=self.noise_limit,
        )

    def operations(self, spec: Spec) -> int | float:
        n = operations.Networks.of(self.hidden, spec)
        improvement = n.mean.learn() + self.ensemble * n.critic.guide()
        values = operations.temporal_difference(n, self.ensemble)
        return n.mean.forward() + values + improvement / self.actor_period

    def _is_full(self, state: ReBRACState) -> Bool[Array, ""]:
        """Whether this update also updates the actor; updates are counted from 1."""
        return (state.step + 1) % self.actor_period == 0

    @jax.named_scope("targets")
    def _targets(self, state: ReBRACState, batch: Batch, noise: ReBRACNoise) -> Float[Array, " batch"]:
        """y = r + gamma mask (Q'(s', a') - alpha_critic |a' - a'_data|^2), a' smoothed by noise."""
        smoothing = jnp.clip(self.target_noise * noise.target_noise, -self.noise_limit, self.noise_limit)
        actions = clip_action(jnp.tanh(state.target_actor(batch.next_observations)) + smoothing)
        penalty = jnp.sum((actions - batch.next_actions) ** 2, axis=-1)
        next_q = state.target_critic(batch.next_observations, actions)
        next_q = bellman.aggregate(next_q, self.q_agg, self.rho)
        return bellman.backup(batch.rewards, batch.masks, next_q - self.alpha_critic * penalty, self.discount)

    @jax.named_scope("critic_loss")
    def _critic_loss(
        self, critic: CriticEnsemble, batch: Batch, targets: Float[Array, " batch"]
    ) -> tuple[Scalar, Metrics]:
        q_values = critic(batch.observations, batch.actions)
        loss = bellman.bellman_error(q_values, targets, batch.weights)
        return loss, {"critic_loss": loss, "q_mean": jnp.mean(q_values), "target_mean": jnp.mean(targets)}

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self, actor: MeanActor, critic: CriticEnsemble, batch: Batch, axis_name: AxisName | None
    ) -> tuple[Scalar, Metrics]:
        """alpha_actor |a - a_data|^2 - lambda Q(s, a), the square summed over action dimensions."""
        actions = jnp.tanh(actor(batch.observations))
        q_values = critic(batch.observations, actions)
        q_values = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        q_loss = losses.q_loss(q_values, normalize=True, axis_name=axis_name)
        bc = jnp.mean(losses.behaviour_cloning(actions, batch.actions, batch.valid))
        loss = self.alpha_actor * batch.actions.shape[-1] * bc + q_loss
        return loss, {"actor_loss": loss, "bc_loss": bc, "q_loss": q_loss}


def _where(condition: Bool[Array, ""], then: Tree, otherwise: Tree) -> Tree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), then, otherwise)
