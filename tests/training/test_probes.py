"""Routing on fixed probes, and the policies of the last evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol import DROL, IQL, load_policy
from drol.training.probes import PROBES, diagnostics, probes_of, winners
from drol.training.settings import Settings
from tests.helpers.toy_run import PROBES as FIXED
from tests.helpers.toy_run import algorithm, data, fake_evaluation, free_action, new_folder, run, train, transitions


def test_an_evaluation_records_who_wins_the_probes(undisturbed):
    folder, state = undisturbed
    lines = folder.probes.read()
    assert [line["update"] for line in lines] == [0, 20, 40]
    assert all(len(line["winners"]) == PROBES and set(line["winners"]) <= set(range(4)) for line in lines)
    assert lines[-1]["winners"] == winners(algorithm(), state, FIXED)
    first, last = [line for line in folder.metrics.read() if "routing/handoff_rate" in line]
    for before, now, metrics in zip(lines, lines[1:], (first, last), strict=False):
        share = np.bincount(now["winners"], minlength=4) / PROBES
        entropy = -sum(part * np.log(part) for part in share if part)
        assert metrics["routing/largest_share"] == pytest.approx(share.max())
        assert metrics["routing/winner_entropy"] == pytest.approx(entropy, rel=1e-5)
        changed = np.mean(np.array(before["winners"]) != now["winners"])
        assert metrics["routing/handoff_rate"] == pytest.approx(changed)


def test_probes_are_routed_with_one_set_of_latents():
    """Equal states and equal actions have equal winners: the latents are shared, and not drawn anew for each row."""
    learner = DROL(hidden=(16,), num_candidates=8)
    state = learner.init(data().spec, key=jax.random.key(1))
    observations, actions = jnp.zeros((64, 4)), jnp.full((64, 3), 0.3)
    found = learner.winners(state, observations, actions, key=jax.random.key(0))
    assert found is not None
    assert len(set(found.tolist())) == 1
    spread = learner.winners(state, observations, jax.random.uniform(jax.random.key(2), (64, 3)), key=jax.random.key(0))
    assert spread is not None
    assert len(set(spread.tolist())) > 1


def test_the_nearest_candidate_wins():
    """Against a loop in NumPy."""
    learner, key = DROL(hidden=(16,), num_candidates=8), jax.random.key(5)
    state = learner.init(data().spec, key=jax.random.key(1))
    found = learner.winners(state, *map(jnp.asarray, FIXED[:2]), key=key)
    from drol.ops.latent import default_radius, sample_ball

    latents = sample_ball(key, (8,), 3, default_radius(3))
    for row in range(0, PROBES, 64):
        candidates = [state.actor(jnp.asarray(FIXED.observations[row]), latent) for latent in latents]
        distances = [float(jnp.sum((candidate - FIXED.actions[row]) ** 2)) for candidate in candidates]
        assert found is not None
        assert int(found[row]) == int(np.argmin(distances))


def test_probes_depend_on_the_data_alone():
    first, again = probes_of(transitions()), probes_of(transitions())
    np.testing.assert_array_equal(first.actions, again.actions)
    table = transitions()
    numbers = np.sort(np.random.default_rng(0).integers(len(table), size=PROBES))
    np.testing.assert_array_equal(first.observations, table.observations[table.index[numbers]])


def test_without_an_earlier_record_nothing_is_said_to_have_changed():
    assert "routing/handoff_rate" not in diagnostics([0, 1, 1], None)
    assert "routing/handoff_rate" not in diagnostics([0, 1, 1], [0, 1])
    assert diagnostics([2, 2, 2], [2, 2, 2]) == {
        "routing/winner_entropy": 0,
        "routing/largest_share": 1,
        "routing/handoff_rate": 0,
    }


@pytest.mark.parametrize("learner", [DROL(hidden=(16,), num_candidates=1), IQL(hidden=(16,))])
def test_without_routing_there_are_no_probes(learner, tmp_path):
    folder = new_folder(tmp_path / "run")
    train(learner, data(), folder, Settings(updates=4, batch_size=16, eval_every=2, updates_per_call=2), probes=FIXED)
    assert folder.probes.read() == []
    assert not any(name.startswith("routing/") for line in folder.metrics.read() for name in line)


def test_the_policies_of_the_last_three_evaluations_are_kept(tmp_path):
    folder = new_folder(tmp_path / "run")
    settings = Settings(seed=3, updates=40, batch_size=16, eval_every=10, updates_per_call=5)
    state = run(folder, settings)
    assert folder.evaluated_updates() == [20, 30, 40]
    assert [load_policy(folder.evaluated_policy(update)).facts["update"] for update in (20, 30, 40)] == [20, 30, 40]
    last = load_policy(folder.evaluated_policy(40)).policy
    np.testing.assert_array_equal(free_action(last), free_action(algorithm().policy(state)))
    assert fake_evaluation(last, 40)[0]["return"] == folder.evaluations.read()[-3]["return"]


def test_without_an_evaluation_no_policy_is_kept_as_evaluated(tmp_path):
    folder = new_folder(tmp_path / "run")
    run(folder, evaluate=None)
    assert folder.evaluated_updates() == []
