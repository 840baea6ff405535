"""`drol.step` in a loop of your own: one state, two good actions, and a critic that learns from rewards.

Behaviour data holds two modes, -0.8 and +0.8. A unimodal policy would average them to 0; routed candidates keep both.
"""

import jax
import jax.numpy as jnp

import drol


# --8<-- [start:data]
def modes(key: jax.Array, rows: int) -> drol.Batch:
    """Transitions of a one-step problem whose data actions lie around -0.8 and +0.8."""
    side_key, noise_key = jax.random.split(key)
    side = jnp.where(jax.random.bernoulli(side_key, 0.5, (rows, 1)), 0.8, -0.8)
    actions = side + 0.05 * jax.random.normal(noise_key, (rows, 1))
    nothing = jnp.zeros((rows, 1))
    return drol.Batch(
        observations=nothing,
        actions=jnp.clip(actions, -1, 1),
        rewards=jnp.zeros(rows),
        masks=jnp.zeros(rows),
        next_observations=nothing,
        next_actions=actions,
    )


# --8<-- [end:data]


# --8<-- [start:loop]
def main(updates: int = 1_000) -> jax.Array:
    """Train, and return a thousand actions of the policy."""
    algorithm = drol.DROL(num_candidates=8, bc_coef=10.0, hidden=(64, 64), learning_rate=3e-3)
    state = algorithm.init(drol.Spec(observation_dim=1, action_dim=1), key=jax.random.key(0))
    step = jax.jit(drol.step, donate_argnames="state")
    for update in range(updates):
        data_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(1), update))
        state, metrics = step(algorithm, state, modes(data_key, 256), key=step_key)
    print({name: round(float(value), 4) for name, value in metrics.items()})
    policy = algorithm.policy(state)
    actions = jax.vmap(lambda key: policy(jnp.zeros(1), key=key))(jax.random.split(jax.random.key(2), 1_000))[:, 0]
    for mode in (-0.8, 0.8):
        print(f"actions near {mode:+}: {jnp.mean(jnp.abs(actions - mode) < 0.2):.0%}")
    return actions


# --8<-- [end:loop]


if __name__ == "__main__":
    main()
