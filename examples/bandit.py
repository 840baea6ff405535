"""A multimodal bandit with known answers: routing's mechanism, and its foil, on a problem that can be drawn.

There is one state, with M modes of logged actions and a reward whose peak lies outside all of them. What the paper's
sections 5.2 and 5.3 show on benchmarks can be measured exactly here: which modes are still covered by some candidate,
which latent owns each of them, and where a sample that must keep its own target settles (Proposition 4.3).
"""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from drol.algorithm import Algorithm, ScalarLike, TrainState, scalar, static, step
from drol.nn.actor import LatentActor
from drol.ops import latent, losses, routing
from drol.ops.axis import make_varying, mean_over
from drol.policy import LatentPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Spec

Actions = Float[Array, "batch action"]


class Bandit(eqx.Module):
    """Logged actions in small balls around the modes, rewarded by r(a) = -curvature / 2 |a - peak|^2.

    Every transition ends its episode, so Q(s, a) = r(a). The observation is pure noise: effectively there is one state.
    """

    modes: Float[Array, "modes action"]
    peak: Float[Array, " action"]
    spread: float = eqx.field(static=True, default=0.15)
    curvature: float = eqx.field(static=True, default=1.0)

    @property
    def spec(self) -> Spec:
        return Spec(1, self.modes.shape[-1])

    def reward(self, actions: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """r(a): strongly concave, as Proposition 4.3 requires of Q."""
        return -self.curvature / 2 * jnp.sum((actions - self.peak) ** 2, axis=-1)

    def batch(self, rows: int, *, key: Key) -> Batch:
        """Fresh transitions, the modes equally likely."""
        observation_key, mode_key, action_key = jax.random.split(key, 3)
        observations = jax.random.uniform(observation_key, (rows, 1), minval=-1.0)
        chosen = self.modes[jax.random.randint(mode_key, (rows,), 0, self.modes.shape[0])]
        actions = chosen + latent.sample_ball(action_key, (rows,), self.modes.shape[-1], self.spread)
        return Batch(
            observations=observations,
            actions=actions,
            rewards=self.reward(actions),
            masks=jnp.zeros(rows),
            next_observations=observations,
            next_actions=actions,
        )

    def compromise(self, targets: Actions, alpha: ScalarLike) -> Actions:
        """argmin_x -r(x) + alpha |x - t|^2: where a sample that keeps its own target settles, for q_coef = 1.

        Source: section C.3.
        """
        return (self.curvature * self.peak + 2 * alpha * targets) / (self.curvature + 2 * alpha)


def four_corners() -> Bandit:
    """Four modes at (+-1/2, +-1/2) and a peak to the right: every mode can be improved on, none contains the peak."""
    corners = jnp.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])
    return Bandit(modes=corners, peak=jnp.array([0.9, 0.3]))


class PointwiseState(TrainState):
    """The training state of `PointwiseCorrespondence`."""

    actor: LatentActor
    actor_optimizer: optax.OptState
    step: Int[Array, ""]


class PointwiseCorrespondence(Algorithm):
    """The foil: each latent keeps its own fixed target, whatever the other samples do (eq. 3, Proposition 4.2).

    The teacher sends a latent to the mode whose direction is nearest to its own; Q is the bandit's reward itself. The
    loss is bc_coef / d |x - t|^2 - q_coef r(x), on the same scale as DROL's without normalised Q.
    """

    name: ClassVar[str] = "pointwise"

    bandit: Bandit
    bc_coef: ScalarLike = scalar(1.0, "weight of correspondence")
    q_coef: ScalarLike = scalar(1.0, "weight of the reward")
    learning_rate: ScalarLike = scalar(1e-3, "Adam's learning rate")
    hidden: tuple[int, ...] = static((64, 64), "hidden widths of the actor", low=1)

    def init(self, spec: Spec, *, key: Key) -> PointwiseState:
        actor = LatentActor(spec, self.hidden, key=key)
        optimizer_state = optax.adam(self.learning_rate).init(eqx.filter(actor, eqx.is_array))
        return PointwiseState(actor=actor, actor_optimizer=optimizer_state, step=jnp.zeros((), jnp.int32))

    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> Actions:
        dim = spec.action_dim

        def draw(row: Int[Array, ""]) -> Float[Array, " action"]:
            return latent.sample_ball(jax.random.fold_in(key, row), (), dim, latent.default_radius(dim))

        return jax.vmap(draw)(rows)

    def teacher(self, latents: Actions) -> Actions:
        """The fixed target of each latent."""
        return self.bandit.modes[jnp.argmax(latents @ self.bandit.modes.T, axis=-1)]

    def update(
        self, state: PointwiseState, batch: Batch, noise: Actions, *, axis_name: AxisName | None = None
    ) -> tuple[PointwiseState, Metrics]:
        def loss(actor: LatentActor):
            actions = actor(batch.observations, noise)
            alpha = self.bc_coef / actions.shape[-1]
            reward = self.q_coef * self.bandit.reward(actions)
            return losses.pointwise(actions, self.teacher(noise), reward, alpha=alpha)

        value, gradient = mean_over(jax.value_and_grad(loss)(make_varying(state.actor, axis_name)), axis_name)
        updates, optimizer_state = optax.adam(self.learning_rate).update(gradient, state.actor_optimizer)
        actor = eqx.apply_updates(state.actor, updates)
        following = PointwiseState(actor=actor, actor_optimizer=optimizer_state, step=state.step + 1)
        return following, {"actor_loss": value}

    def policy(self, state: PointwiseState) -> LatentPolicy:
        return LatentPolicy(actor=state.actor, critic=None)


class History(NamedTuple):
    """Training as seen by fixed latents, one entry per snapshot; `candidates[0]` is before the first update."""

    candidates: Float[Array, "snapshots probes action"]
    metrics: dict[str, Float[Array, " updates"]]

    def owners(self, modes: Float[Array, "modes action"]) -> Int[Array, "snapshots modes"]:
        """Which probe latent is nearest to each mode."""
        route = jax.vmap(routing.route, in_axes=(None, 0))
        return jax.vmap(route, in_axes=(0, None))(self.candidates, modes).winner


def train(
    algorithm: Algorithm, bandit: Bandit, *, updates: int, snapshots: int, probes: Actions, key: Key, rows: int = 128
) -> tuple[TrainState, History]:
    """Train with `drol.step`, recording the actions of fixed latents.

    Args:
        algorithm: DROL, or the foil.
        bandit: the problem.
        updates: how many, a multiple of `snapshots`.
        snapshots: how many times to record the probes' actions, equally spaced.
        probes: latents that stay the same throughout.
        key: all randomness derives from it.
        rows: transitions per update.
    """
    init_key, key = jax.random.split(key)

    def act(state) -> Actions:
        return state.actor.candidates(jnp.zeros(1), probes)

    def update(state: TrainState, number: Int[Array, ""]) -> tuple[TrainState, Metrics]:
        batch_key, noise_key = jax.random.split(jax.random.fold_in(key, number))
        return step(algorithm, state, bandit.batch(rows, key=batch_key), key=noise_key)

    def record(state: TrainState, numbers: Int[Array, " updates"]) -> tuple[TrainState, PyTree]:
        state, metrics = jax.lax.scan(update, state, numbers)
        return state, (act(state), metrics)

    state = algorithm.init(bandit.spec, key=init_key)
    first = act(state)
    state, (candidates, metrics) = jax.lax.scan(record, state, jnp.arange(updates).reshape(snapshots, -1))
    flat = jax.tree.map(lambda x: x.reshape(-1), metrics)
    return state, History(jnp.concatenate([first[None], candidates]), flat)
