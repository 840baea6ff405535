"""DROL: a one-step latent actor trained by top-1 dynamic routing (section 3)."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from drol.algorithm import ScalarLike, TrainState, checked_start, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.learner import per_row
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.optimizers import Trained, descend, first_state, optimizer_of
from drol.algorithms.tables import ADROIT, ANTMAZES, DATA, FAMILIES, HANDS, Number, preset, with_borrowers
from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.ops import bellman, latent, losses, routing
from drol.ops.axis import make_varying, mean_over
from drol.policy import LatentPolicy
from drol.published import Preset, Published
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

AUTHORS = "authors' public production commands"

# bc_coef of DROL(16), then bc_coef and K of DROL*.
OGBENCH = (
    *((0.03, 0.03, 16), (0.03, 0.03, 1), (0.3, 0.3, 16), (0.3, 0.3, 4), (0.1, 0.1, 4)),  # mazes
    *((10, 10, 16), (3, 3, 64), (3, 3, 64), (0.3, 0.3, 32), (10, 10, 64)),  # manipulation
)
ON_ANTMAZES = ((0.3, 0.3, 2), (0.1, 0.1, 16), (0.1, 0.1, 32), (0.1, 0.1, 16), (0.1, 0.03, 16), (0.1, 0.03, 16))
ON_HANDS = ((1, 1, 16), (10, 10, 8), (3, 3, 8), (10, 10, 32))


def _presets() -> Iterator[Preset]:
    """DROL(16) and DROL*, with one preset for the three data sets of each hand."""

    def of(family: str, row: tuple[Number, Number, int], shared: dict[str, Any], pattern: str | None = None) -> Preset:
        of_sixteen, of_star, count = row
        values = {"bc_coef": float(of_sixteen), "num_candidates": 16, **shared}
        tuned = {"bc_coef": float(of_star), "num_candidates": count}
        return preset("drol", family, values, AUTHORS, pattern=pattern, tuned=tuned)

    # Only DROL has its own discount on antmaze-large.
    discounts = FAMILIES | {"antmaze-large-navigate": FAMILIES["antmaze-large-navigate"] | {"discount": 0.995}}
    yield from with_borrowers(of(family, row, discounts[family]) for family, row in zip(FAMILIES, OGBENCH, strict=True))
    for maze, row in zip(ANTMAZES, ON_ANTMAZES, strict=True):
        yield of(f"antmaze-{maze}-v2", row, {})
    for hand, row in zip(HANDS, ON_HANDS, strict=True):
        yield of(f"{hand}-{{{','.join(DATA)}}}-v1", row, ADROIT, pattern=rf"{hand}-({'|'.join(DATA)})-v1")


PUBLISHED = Published(
    advice="tune --bc-coef first, from 0.03 to 10, with K = 16",
    fields=("bc_coef", "num_candidates"),
    presets=tuple(_presets()),
)


class DROLState(TrainState):
    """The training state of DROL."""

    # Networks
    actor: LatentActor
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    # Optimizer
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    # Updates done
    step: Int[Array, ""]


class DROLNoise(eqx.Module):
    """The random draws of one update, all from the latent ball."""

    candidates: Float[Array, "batch num_candidates action"]
    next_latents: Float[Array, "batch backup_candidates action"]


class DROLGradients(eqx.Module):
    """Gradients of the actor's and the critic's loss, both at the parameters before the update."""

    actor: LatentActor
    critic: CriticEnsemble


class DROL(Trained):
    """Route each data action to its nearest candidate; clone and improve that winner only.

    The winner's index depends on the actor through forward values only. So candidates are generated and routed without
    gradients, and only the winner's forward pass is repeated with them. This gives exactly the gradient of eq. 8, at a
    fraction of the cost of differentiating all K candidates.
    """

    name: ClassVar[str] = "drol"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(
        *CRITIC,
        *("actor_loss", "bc_loss", "q_loss"),
        min_squared_distance="squared distance from the data's action to its nearest candidate, mean over the batch",
        centroid_divergence="squared distance of the candidates from their centroid, mean over all their numbers",
        pairwise_distance="distance between two different candidates over sqrt(d), root mean square over pairs",
        routing_margin="the second-nearest candidate's squared distance less the winner's; infinite for K = 1",
    )

    num_candidates: int = static(16, "routing budget K: candidate actions per state", low=1)
    bc_coef: ScalarLike = scalar(1.0, "weight of behaviour cloning; tune from 0.03 to 10")
    q_coef: ScalarLike = scalar(1.0, "weight of critic guidance")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg("min")
    actor_rho: ScalarLike = fields.actor_rho()
    normalize_q: bool = fields.normalize_q(True)
    backup_candidates: int = static(1, "next actions per state, of which the best is backed up", low=1)
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    routed_steps: int = static(0, "first steps of a chunk by which it is routed; 0: all its recorded steps", low=0)
    latent_radius: float | None = static(None, "radius R of the latent ball; sqrt(action dimension) by default", low=0)
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def init(self, spec: Spec, *, key: Key) -> DROLState:
        actor_key, critic_key = jax.random.split(checked_start(spec, key))
        actor = LatentActor(spec, self.hidden, key=actor_key)
        critic = CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key)
        return DROLState(
            actor=actor,
            critic=critic,
            target_critic=jax.tree.map(jnp.copy, critic),
            actor_optimizer=first_state(self, actor),
            critic_optimizer=first_state(self, critic),
            step=jnp.zeros((), jnp.int32),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> DROLNoise:
        dim = spec.plan_dim
        radius = self._radius(dim)
        count = self.num_candidates + self.backup_candidates

        latents = per_row(lambda key: latent.sample_ball(key, (count,), dim, radius), rows, key)
        return DROLNoise(latents[:, : self.num_candidates], latents[:, self.num_candidates :])

    def update(
        self, state: DROLState, batch: Batch, noise: DROLNoise, *, axis_name: AxisName | None = None
    ) -> tuple[DROLState, Metrics]:
        gradients, metrics, actor_loss, critic_loss = self._graded(state, batch, noise, axis_name)
        apply = functools.partial(descend, optimizer_of(self), axis_name=axis_name)
        actor, actor_optimizer = apply(
            gradients.actor, state.actor_optimizer, state.actor, value=metrics["actor_loss"], loss=actor_loss
        )
        critic, critic_optimizer = apply(
            gradients.critic, state.critic_optimizer, state.critic, value=metrics["critic_loss"], loss=critic_loss
        )
        return DROLState(
            actor=actor,
            critic=critic,
            # One step of lag, as in the authors' code: the average uses the critic from before this update.
            target_critic=bellman.target_average(state.target_critic, state.critic, self.tau),
            actor_optimizer=actor_optimizer,
            critic_optimizer=critic_optimizer,
            step=state.step + 1,
        ), metrics

    def policy(self, state: DROLState) -> LatentPolicy:
        return LatentPolicy(actor=state.actor, critic=state.critic, latent_radius=self.latent_radius)

    def winners(
        self,
        state: DROLState,
        observations: Float[Array, "rows observation"],
        actions: Float[Array, "rows action"],
        *,
        key: Key,
        chunk: int = 1,
    ) -> Int[Array, " rows"] | None:
        if self.num_candidates == 1:
            return None
        dim = actions.shape[-1]
        latents = latent.sample_ball(key, (self.num_candidates,), dim, self._radius(dim))
        shared = jnp.broadcast_to(latents, (actions.shape[0], *latents.shape))
        routed = None if self.routed_steps == 0 else _first_steps(self.routed_steps, chunk, dim)
        route = jax.vmap(lambda candidates, action: routing.route(candidates, action, routed))
        return route(state.actor.candidates(observations, shared), actions).winner

    def operations(self, spec: Spec) -> int | float:
        n, ensemble = operations.Networks.of(self.hidden, spec), self.ensemble
        routing = n.actor.forward(self.num_candidates) if self.num_candidates > 1 else 0
        # The target critic evaluates every next action separately: no products are shared within a state.
        targets = n.actor.forward(self.backup_candidates) + self.backup_candidates * ensemble * n.critic.forward()
        return routing + n.actor.learn() + targets + ensemble * (n.critic.guide() + n.critic.learn())

    def _routed(self, batch: Batch) -> Float[Array, "batch action"] | None:
        """Which numbers of the data's actions decide their routes; None if all do."""
        if not 0 < self.routed_steps < batch.chunk:
            return batch.valid
        first = _first_steps(self.routed_steps, batch.chunk, batch.actions.shape[-1])
        return jnp.broadcast_to(first, batch.actions.shape) if batch.valid is None else first * batch.valid

    def _radius(self, dim: int) -> float:
        return latent.default_radius(dim) if self.latent_radius is None else self.latent_radius

    def gradients(
        self, state: DROLState, batch: Batch, noise: DROLNoise, *, axis_name: AxisName | None = None
    ) -> tuple[DROLGradients, Metrics]:
        """The gradients that `update` applies, of the whole batch where it is sharded over `axis_name`."""
        gradients, metrics, *_ = self._graded(state, batch, noise, axis_name)
        return gradients, metrics

    def _graded(
        self, state: DROLState, batch: Batch, noise: DROLNoise, axis_name: AxisName | None
    ) -> tuple[DROLGradients, Metrics, Callable[[LatentActor], Scalar], Callable[[CriticEnsemble], Scalar]]:
        """Gradients and metrics, and the two losses as functions of what they train."""
        actor, critic = make_varying((state.actor, state.critic), axis_name)
        winners, routing_metrics = self._route(actor, batch, noise, axis_name)
        targets = self._targets(actor, state.target_critic, batch, noise)
        actor_gradient, actor_metrics = jax.grad(self._actor_loss, has_aux=True)(
            actor, critic, batch, winners, axis_name
        )
        critic_gradient, critic_metrics = jax.grad(self._critic_loss, has_aux=True)(critic, batch, targets)
        gradients = DROLGradients(actor_gradient, critic_gradient)
        gradients, metrics = mean_over((gradients, routing_metrics | actor_metrics | critic_metrics), axis_name)

        def actor_loss(trained: LatentActor) -> Scalar:
            return self._actor_loss(trained, critic, batch, winners, axis_name)[0]

        def critic_loss(trained: CriticEnsemble) -> Scalar:
            return self._critic_loss(trained, batch, targets)[0]

        return gradients, metrics, actor_loss, critic_loss

    @jax.named_scope("route")
    def _route(
        self, actor: LatentActor, batch: Batch, noise: DROLNoise, axis_name: AxisName | None
    ) -> tuple[Float[Array, "batch action"], Metrics]:
        """The winners' latents and the diagnostics of the candidate sets. Forward values only (eq. 4, 5, 7)."""
        if self.num_candidates == 1:
            # There is nothing to route: skip the forward pass of the candidates.
            none = jnp.zeros(())
            metrics = {"centroid_divergence": none, "pairwise_distance": none, "routing_margin": none + jnp.inf}
            return noise.candidates[:, 0], metrics
        candidates = actor.candidates(batch.observations, noise.candidates)
        routes = jax.vmap(routing.route)(candidates, batch.actions, self._routed(batch))
        winners = jnp.take_along_axis(noise.candidates, routes.winner[:, None, None], axis=1)[:, 0]
        divergence = mean_over(jnp.mean(jax.vmap(routing.centroid_divergence)(candidates)), axis_name)
        return winners, {
            "centroid_divergence": divergence,
            "pairwise_distance": routing.pairwise_distance(divergence, self.num_candidates),
            "routing_margin": jnp.mean(routes.margin),
        }

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self,
        actor: LatentActor,
        critic: CriticEnsemble,
        batch: Batch,
        winners: Float[Array, "batch action"],
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        """Eq. 8 on the winners; the critic is a constant."""
        actions = actor(batch.observations, winners)
        bc = losses.behaviour_cloning(actions, batch.actions, batch.valid)
        q_values = bellman.aggregate(critic(batch.observations, actions), self.actor_q_agg, self.actor_rho)
        scale = losses.q_scale(q_values, axis_name) if self.normalize_q else 1.0
        loss = losses.winner_only(bc, q_values, bc_coef=self.bc_coef, q_coef=self.q_coef, scale=scale)
        return loss, {
            "actor_loss": loss,
            "bc_loss": jnp.mean(bc),
            "min_squared_distance": jnp.mean(bc) * batch.actions.shape[-1],
            "q_loss": -scale * jnp.mean(q_values),
        }

    @jax.named_scope("targets")
    def _targets(
        self, actor: LatentActor, target_critic: CriticEnsemble, batch: Batch, noise: DROLNoise
    ) -> Float[Array, " batch"]:
        """y of eq. 9: one next action per state, or the best of several."""
        actions = actor.candidates(batch.next_observations, noise.next_latents)
        observations = jnp.broadcast_to(
            batch.next_observations[:, None], (*actions.shape[:2], batch.next_observations.shape[-1])
        )
        next_q = target_critic(observations, actions)
        best = jax.vmap(lambda q: bellman.best_of_n(q, self.q_agg, rho=self.rho), in_axes=1)(next_q)
        return bellman.backup(batch.rewards, batch.masks, best, self.discount)

    @jax.named_scope("critic_loss")
    def _critic_loss(
        self, critic: CriticEnsemble, batch: Batch, targets: Float[Array, " batch"]
    ) -> tuple[Scalar, Metrics]:
        """Eq. 9."""
        q_values = critic(batch.observations, batch.actions)
        loss = bellman.bellman_error(q_values, targets, batch.weights)
        return loss, {"critic_loss": loss, "q_mean": jnp.mean(q_values), "target_mean": jnp.mean(targets)}


def _first_steps(count: int, chunk: int, numbers: int) -> Float[Array, " action"]:
    """1 for the numbers of the first `count` steps of a chunk, 0 for the others."""
    return (jnp.arange(numbers) < count * (numbers // chunk)).astype(jnp.result_type(float))
