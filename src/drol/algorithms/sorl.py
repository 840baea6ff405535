"""SORL: a shortcut model, trained to act in 1, 2, 4 or 8 steps (Espinosa-Dice et al. 2025)."""

import functools
import statistics
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from drol.algorithm import ScalarLike, TrainState, checked_start, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.learner import per_row
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.optimizers import Trained, adam, descend, first_state, leaves, optimizer_of
from drol.algorithms.tables import D4RL, UNKNOWN, Column, OGBench
from drol.hyperparameters import plain
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, shortcut_actions
from drol.numerics import threefry
from drol.ops import bellman, losses
from drol.ops.axis import make_varying, mean_over
from drol.policy import Choice, ShortcutPolicy
from drol.policy.flow import STEPS
from drol.published import Published
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

COLUMN = Column(
    "sorl",
    ("q_coef",),
    "commands of the SORL repository, whose update --public-update repeats",
    missing="unknown: SORL reports no results on it",
)
PUBLISHED = Published(
    advice="tune --q-coef first; published: 10 to 500",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(OGBench(500, 500, 100, 500, 500, 10, 50, 100, UNKNOWN, UNKNOWN)),
        *COLUMN.d4rl(D4RL((UNKNOWN,) * 6, *((UNKNOWN, UNKNOWN, UNKNOWN),) * 4)),
    ),
)

FINEST = 3
"""The level log2(8), trained by flow matching; self-consistency trains each level below from the one above it."""
NOISE_LEFT = 1e-5
"""What remains of x_0 at time 1."""


OfActor, OfCritic, Result = TypeVar("OfActor"), TypeVar("OfCritic"), TypeVar("Result")


class SORLNetworks(eqx.Module, Generic[OfActor, OfCritic]):
    """What SORL trains; also used for any other pair with an entry for each."""

    actor: OfActor
    critic: OfCritic


class SORLState(TrainState):
    """The training state of SORL."""

    # Networks
    networks: SORLNetworks
    target_actor: VectorField
    target_critic: CriticEnsemble
    # Optimizer: one for each network, or with `public_update` one for both
    optimizer: optax.OptState | SORLNetworks
    # Updates done
    step: Int[Array, ""]


class SORLNoise(eqx.Module):
    """The numbers of steps (indices into `STEPS`) are drawn per batch, everything else per row."""

    critic_steps: Int[Array, ""]
    actor_steps: Int[Array, ""]
    next_latent: Float[Array, "batch action"]
    latent: Float[Array, "batch action"]
    flow_x0: Float[Array, "batch action"]
    flow_index: Int[Array, "batch 1"]
    consistency_x0: Float[Array, "batch action"]
    consistency_level: Int[Array, "batch 1"]
    consistency_index: Int[Array, "batch 1"]


class SORL(Trained):
    """A field f(s, x, t, l) that steps from x by 2^-l: trained by flow matching at the finest level, by
    self-consistency at the coarser ones, and by a critic conditioned on the number of steps, differentiated through
    all of them.

    By default this is the paper's method: the Bellman target is a constant, and each network has its own Adam and
    gradient clip. `public_update` follows the public code, which produced the published numbers: the Bellman error also
    trains the actor, and critic and actor are updated in turn, each time with one Adam and one clip over both networks.

    Under `vmap` over seeds every number of steps is computed and one is used, so seeds train faster one by one.
    """

    name: ClassVar[str] = "sorl"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(
        *CRITIC,
        *("actor_loss", "flow_loss", "q_loss"),
        cloning_loss="the weighted sum of `flow_loss` and `consistency_loss`",
        consistency_loss="squared error of one step and two of half its length, mean over action dimensions and batch",
    )

    q_coef: ScalarLike = scalar(10.0, "weight of critic guidance; tune from 10 to 500")
    flow_coef: ScalarLike = scalar(10.0, "weight of flow matching")
    consistency_coef: ScalarLike = scalar(10.0, "weight of self-consistency")
    inference_steps: int = static(1, "steps when acting: 1, 2, 4 or 8", low=1)
    max_gradient_norm: ScalarLike = fields.max_gradient_norm(1.0)
    public_update: bool = static(False, "the update of the public code instead of the paper's")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate(1e-4)
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg()
    actor_rho: ScalarLike = fields.actor_rho()
    normalize_q: bool = fields.normalize_q(True)
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def __check_init__(self):
        if self.inference_steps not in STEPS:
            raise ValueError(f"inference_steps must be one of 1, 2, 4 and 8, found {self.inference_steps}")

    def adam(self) -> optax.GradientTransformation:
        return adam(self.learning_rate, max_norm=self.max_gradient_norm)

    def init(self, spec: Spec, *, key: Key) -> SORLState:
        actor_key, critic_key = jax.random.split(checked_start(spec, key))
        networks = SORLNetworks(
            VectorField(spec, self.hidden, conditions=2, key=actor_key),
            CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, conditions=1, key=critic_key),
        )
        if self.public_update:
            optimizer = first_state(self, networks)
        else:
            optimizer = SORLNetworks(first_state(self, networks.actor), first_state(self, networks.critic))
        return SORLState(
            networks=networks,
            target_actor=jax.tree.map(jnp.copy, networks.actor),
            target_critic=jax.tree.map(jnp.copy, networks.critic),
            optimizer=optimizer,
            step=jnp.zeros((), jnp.int32),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> SORLNoise:
        row_key, batch_key = jax.random.split(threefry(key))
        critic_steps, actor_steps = jax.random.randint(batch_key, (2,), 0, len(STEPS), jnp.int32)
        # Each third of the batch, up to rounding, trains consistency at one of the levels 2, 1 and 0.
        levels = FINEST - 1 - rows % FINEST

        def draw(key: Key) -> tuple[Array, Array, Array]:
            normal_key, index_key = jax.random.split(key)
            normal = jax.random.normal(normal_key, (4, spec.plan_dim))
            # Times in eighths; level l uses every 2^(3 - l)-th of them.
            eighths = jax.random.randint(index_key, (2, 1), 0, STEPS[-1], jnp.int32)
            return normal, eighths[0], eighths[1]

        normal, flow_index, eighth = per_row(draw, rows, row_key)
        level = levels[:, None]
        return SORLNoise(
            critic_steps=critic_steps,
            actor_steps=actor_steps,
            next_latent=normal[:, 0],
            latent=normal[:, 1],
            flow_x0=normal[:, 2],
            flow_index=flow_index,
            consistency_x0=normal[:, 3],
            consistency_level=level,
            consistency_index=eighth >> (FINEST - level),
        )

    def update(
        self, state: SORLState, batch: Batch, noise: SORLNoise, *, axis_name: AxisName | None = None
    ) -> tuple[SORLState, Metrics]:
        before = state.networks
        apply = functools.partial(descend, optimizer_of(self), axis_name=axis_name)
        of_critic, of_actor = self._losses(state, batch, noise, axis_name)
        gradients, critic_metrics = self.critic_gradients(state, batch, noise, axis_name=axis_name)
        loss = critic_metrics["critic_loss"]
        if self.public_update:
            assert not isinstance(state.optimizer, SORLNetworks)
            networks, optimizer_state = apply(gradients, state.optimizer, before, value=loss, loss=of_critic)
            gradients, metrics = self.actor_gradients(networks.actor, state, batch, noise, axis_name=axis_name)
            networks, optimizer_state = apply(
                gradients, optimizer_state, networks, value=metrics["actor_loss"], loss=lambda n: of_actor(n.actor)
            )
        else:
            assert isinstance(state.optimizer, SORLNetworks)
            actor_gradients, metrics = self.actor_gradients(before.actor, state, batch, noise, axis_name=axis_name)
            actor, actor_state = apply(
                actor_gradients.actor,
                state.optimizer.actor,
                before.actor,
                value=metrics["actor_loss"],
                loss=of_actor,
            )
            critic, critic_state = apply(
                gradients.critic,
                state.optimizer.critic,
                before.critic,
                value=loss,
                loss=lambda critic: of_critic(SORLNetworks(before.actor, critic)),
            )
            networks, optimizer_state = SORLNetworks(actor, critic), SORLNetworks(actor_state, critic_state)
        return SORLState(
            networks=networks,
            # One step of lag, as in the public code: the averages use the networks from before this update.
            target_actor=bellman.target_average(state.target_actor, before.actor, self.tau),
            target_critic=bellman.target_average(state.target_critic, before.critic, self.tau),
            optimizer=optimizer_state,
            step=state.step + 1,
        ), critic_metrics | metrics

    def gradients(
        self, state: SORLState, batch: Batch, noise: SORLNoise, *, axis_name: AxisName | None = None
    ) -> tuple[SORLNetworks, Metrics]:
        """The gradients of both losses at the parameters before the update."""
        critic, critic_metrics = self.critic_gradients(state, batch, noise, axis_name=axis_name)
        actor, metrics = self.actor_gradients(state.networks.actor, state, batch, noise, axis_name=axis_name)
        return jax.tree.map(jnp.add, critic, actor), critic_metrics | metrics

    def critic_gradients(
        self, state: SORLState, batch: Batch, noise: SORLNoise, *, axis_name: AxisName | None = None
    ) -> tuple[SORLNetworks, Metrics]:
        """Gradients of the Bellman error; the actor's are 0 without `public_update`."""
        networks = make_varying(state.networks, axis_name)

        # Differentiated inside the branches: from outside, the residuals of all branches would be allocated.
        def gradient(steps: int) -> tuple[SORLNetworks, Metrics]:
            return jax.grad(self._critic_loss, has_aux=True)(
                networks, state.networks.actor, state.target_critic, batch, noise, steps
            )

        gradients, metrics = _in_steps(noise.critic_steps, gradient)
        return mean_over((gradients, metrics), axis_name)

    def actor_gradients(
        self, actor: VectorField, state: SORLState, batch: Batch, noise: SORLNoise, *, axis_name: AxisName | None = None
    ) -> tuple[SORLNetworks, Metrics]:
        """Gradients of the actor's loss at `actor`, with the critic and target actor of `state`; the critic's are 0."""
        actor, critic = make_varying((actor, state.networks.critic), axis_name)
        cloning, metrics = jax.grad(self._cloning_loss, has_aux=True)(actor, state.target_actor, batch, noise)

        def gradient(steps: int) -> tuple[VectorField, Scalar]:
            return jax.grad(self._q_loss, has_aux=True)(actor, critic, batch, noise, steps, axis_name)

        guidance, q_loss = _in_steps(noise.actor_steps, gradient)
        actor_gradient, metrics, q_loss = mean_over(
            (jax.tree.map(jnp.add, cloning, guidance), metrics, q_loss), axis_name
        )
        nothing = jax.tree.map(jnp.zeros_like, leaves(state.networks.critic))
        actor_loss = metrics["cloning_loss"] + self.q_coef * q_loss
        return SORLNetworks(actor_gradient, nothing), metrics | {"q_loss": q_loss, "actor_loss": actor_loss}

    def _losses(
        self, state: SORLState, batch: Batch, noise: SORLNoise, axis_name: AxisName | None
    ) -> tuple[Callable[[SORLNetworks], Scalar], Callable[[VectorField], Scalar]]:
        """The critic's loss and the actor's as functions of what they train, for line searches."""
        fixed = make_varying(state.networks, axis_name)

        def of_critic(networks: SORLNetworks) -> Scalar:
            def backed_up(steps: int) -> Scalar:
                return self._critic_loss(networks, fixed.actor, state.target_critic, batch, noise, steps)[0]

            return _in_steps(noise.critic_steps, backed_up)

        def of_actor(actor: VectorField) -> Scalar:
            def guided(steps: int) -> Scalar:
                return self._q_loss(actor, fixed.critic, batch, noise, steps, axis_name)[0]

            cloning, _ = self._cloning_loss(actor, state.target_actor, batch, noise)
            return cloning + _in_steps(noise.actor_steps, guided)

        return of_critic, of_actor

    def policy(self, state: SORLState) -> ShortcutPolicy:
        actor, critic = state.networks.actor, state.networks.critic
        choice = Choice(q_agg=self.q_agg, rho=plain(self.rho, Choice.rho))
        return ShortcutPolicy(actor=actor, critic=critic, choice=choice, steps=self.inference_steps)

    def operations(self, spec: Spec) -> int | float:
        # The numbers of steps, drawn for the targets and for the actor, are equally likely.
        n, ensemble = operations.Networks.of(self.hidden, spec), self.ensemble
        critic, shortcut = n.critic_of_steps, n.shortcut
        # Two target steps in the same state, at different times, give the target of one step of twice the length.
        consistency = shortcut.forward(2) + shortcut.learn()
        improvement = statistics.mean(shortcut.learn_euler(steps) for steps in STEPS) + ensemble * critic.guide()
        # In the public update the Bellman error also trains the actor, through the next actions.
        targets = statistics.mean(shortcut.euler(steps) for steps in STEPS) + ensemble * critic.forward()
        targets = improvement if self.public_update else targets
        return shortcut.learn() + consistency + targets + ensemble * critic.learn() + improvement

    @jax.named_scope("critic_loss")
    def _critic_loss(
        self,
        networks: SORLNetworks,
        fixed_actor: VectorField,
        target_critic: CriticEnsemble,
        batch: Batch,
        noise: SORLNoise,
        steps: int,
    ) -> tuple[Scalar, Metrics]:
        """The Bellman error at the actor's next action in `steps` steps."""
        count = jnp.asarray(float(steps))
        actor = networks.actor if self.public_update else fixed_actor
        next_actions = shortcut_actions(actor, batch.next_observations, noise.next_latent, steps)
        next_q = bellman.aggregate(target_critic(batch.next_observations, next_actions, count), self.q_agg, self.rho)
        targets = bellman.backup(batch.rewards, batch.masks, next_q, self.discount)
        q_values = networks.critic(batch.observations, batch.actions, count)
        loss = bellman.bellman_error(q_values, targets, batch.weights)
        return loss, {"critic_loss": loss, "q_mean": jnp.mean(q_values), "target_mean": jnp.mean(targets)}

    @jax.named_scope("cloning_loss")
    def _cloning_loss(
        self, actor: VectorField, slow: VectorField, batch: Batch, noise: SORLNoise
    ) -> tuple[Scalar, Metrics]:
        """Flow matching at the finest level; below it, one step should equal two half steps of the target actor."""
        times = noise.flow_index / STEPS[-1]
        points = _on_the_way(noise.flow_x0, batch.actions, times)
        predicted = actor(batch.observations, points, times, jnp.asarray(float(FINEST)))
        flow_loss = losses.mean_square(predicted - (batch.actions - (1 - NOISE_LEFT) * noise.flow_x0), batch.valid)

        level = noise.consistency_level.astype(predicted.dtype)
        size = 2**-level
        times = noise.consistency_index * size
        points = _on_the_way(noise.consistency_x0, batch.actions, times)
        first = slow(batch.observations, points, times, level + 1)
        second = slow(batch.observations, points + size / 2 * first, times + size / 2, level + 1)
        predicted = actor(batch.observations, points, times, level)
        consistency_loss = losses.mean_square(predicted - (first + second) / 2, batch.valid)
        loss = self.flow_coef * flow_loss + self.consistency_coef * consistency_loss
        return loss, {"cloning_loss": loss, "flow_loss": flow_loss, "consistency_loss": consistency_loss}

    @jax.named_scope("actor_loss")
    def _q_loss(
        self,
        actor: VectorField,
        critic: CriticEnsemble,
        batch: Batch,
        noise: SORLNoise,
        steps: int,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Scalar]:
        """q_coef (-lambda Q(s, a, k)) at the actor's action a in k steps, and the same without q_coef."""
        actions = shortcut_actions(actor, batch.observations, noise.latent, steps)
        q_values = critic(batch.observations, actions, jnp.asarray(float(steps)))
        guidance = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        loss = losses.q_loss(guidance, normalize=self.normalize_q, axis_name=axis_name)
        return self.q_coef * loss, loss


def _in_steps(place: Int[Array, ""], of: Callable[[int], Result]) -> Result:
    """`of` applied to the number of steps at this index of `STEPS`."""
    return jax.lax.switch(place, [functools.partial(of, steps) for steps in STEPS])


def _on_the_way(
    start: Float[Array, "batch action"], end: Float[Array, "batch action"], times: Float[Array, "batch 1"]
) -> Float[Array, "batch action"]:
    """x_t = (1 - (1 - e) t) x_0 + t x_1, with a little noise e left at the end."""
    return (1 - (1 - NOISE_LEFT) * times) * start + times * end
