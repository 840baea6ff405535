"""An algorithm of your own: TD3+BC (Fujimoto and Gu, 2021), without its delay, in one class.

In this file's folder (or with it on PYTHONPATH) every command accepts it, with its hyperparameters as options:

    drol train TASK --algorithm own_algorithm:TD3BC --alpha 2.5

In a copy of the library it would be a file in `drol/algorithms/` and one line of `registry.py`:

    "td3-bc": Registered("TD3+BC", "drol.algorithms.td3_bc:TD3BC"),

The class also says what is published about the method, for `drol presets` and the defaults of `drol train`, and counts
the operations of an update, for `drol bench peers`. Both can be left out.

This script trains it on logs of random actions; only the rewards tell which of them were good.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

import drol
from drol.algorithm import ScalarLike, scalar
from drol.algorithms import fields, operations
from drol.algorithms.learner import CriticLearner, CriticNetworks, per_row, temporal_difference
from drol.algorithms.registry import algorithm_class
from drol.nn import CriticEnsemble, MeanActor, clip_action
from drol.ops import losses
from drol.published import Published


# --8<-- [start:networks]
class Networks(CriticNetworks):
    """What is trained. `CriticLearner` adds a target critic."""

    actor: MeanActor
    critic: CriticEnsemble


# --8<-- [end:networks]


# --8<-- [start:algorithm]
class TD3BC(CriticLearner[Networks, jax.Array]):
    """|a - a_data|^2 - alpha Q(s, a) / mean |Q|, and a Bellman target at the actor's noisy next action."""

    name: ClassVar[str] = "td3-bc"
    published: ClassVar[Published | None] = Published(advice="its paper uses --alpha 2.5 everywhere", fields=("alpha",))

    alpha: ScalarLike = scalar(2.5, "weight of critic guidance")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec, *, key):
        actor_key, critic_key = jax.random.split(key)
        return Networks(MeanActor(spec, self.hidden, key=actor_key), CriticEnsemble(spec, self.hidden, key=critic_key))

    def noise(self, spec, rows, *, key):
        return per_row(lambda key: jax.random.normal(key, (spec.action_dim,)), rows, key)

    def loss(self, networks, given):
        fixed, batch = given.networks, given.batch
        smoothing = jnp.clip(0.2 * given.noise, -0.5, 0.5)
        next_actions = clip_action(jnp.tanh(fixed.actor(batch.next_observations)) + smoothing)
        critic_loss, _, metrics = temporal_difference(
            networks.critic, next_actions, given, discount=self.discount, q_agg="min"
        )
        actions = jnp.tanh(networks.actor(batch.observations))
        bc_loss = jnp.mean(losses.behaviour_cloning(actions, batch.actions, batch.valid))
        q_values = fixed.critic(batch.observations, actions)[0]
        actor_loss = bc_loss + self.alpha * losses.q_loss(q_values, normalize=True, axis_name=given.axis_name)
        return critic_loss + actor_loss, metrics | {"actor_loss": actor_loss, "bc_loss": bc_loss}

    def policy(self, state):
        return drol.MeanPolicy(actor=state.networks.actor, critic=state.networks.critic, bound="tanh")

    def operations(self, spec):
        n = operations.Networks.of(self.hidden, spec)
        # One of the two critics guides the actor.
        return n.mean.forward() + operations.temporal_difference(n, 2) + n.mean.learn() + n.critic.guide()


# --8<-- [end:algorithm]


def logs(rows: int = 20_000) -> drol.ReplayData:
    """One-step episodes: a state in [-1, 1], a random action, and a reward that is highest where both are equal."""
    states, actions = np.random.default_rng(0).uniform(-1, 1, (2, rows, 1)).astype(np.float32)
    rewards = 1 - np.abs(actions - states)[:, 0]
    return drol.ReplayData.from_transitions(drol.from_arrays(states, actions, rewards, np.ones(rows, bool), states))


def main(updates: int = 2_000) -> float:
    """Train; returns the mean distance of the policy's actions from the best ones (1/2 for the logs' mean action)."""
    algorithm = algorithm_class(f"{__name__}:TD3BC")(hidden=(64, 64), alpha=10.0, learning_rate=1e-3)
    data = logs()
    state = algorithm.init(data.spec, key=jax.random.key(1))
    state, metrics, _ = drol.train_chunk(algorithm, state, data, jax.random.key(2), batch_size=256, length=updates)
    print({name: round(float(value), 4) for name, value in metrics.items()})
    states = jnp.linspace(-0.9, 0.9, 50)[:, None]
    actions = jax.vmap(lambda s: algorithm.policy(state)(s, key=jax.random.key(3)))(states)
    distance = float(jnp.mean(jnp.abs(actions - states)))
    print(f"mean distance from the best action: {distance:.3f}")
    return distance


if __name__ == "__main__":
    main()
