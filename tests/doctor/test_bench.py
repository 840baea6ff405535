"""The doctor on whole logs: sound ones raise no alarm, and no log whose rows are not what they claim to be is sound."""

import gymnasium as gym
import numpy as np
import pytest

from drol.data.readers.named_arrays import log_of_columns
from drol.doctor import examine
from tests.helpers.planted_faults import FAULTS, alarms, no_flags
from tests.helpers.sound_logs import WALKS, all_sound, sound

pytestmark = pytest.mark.filterwarnings("ignore")  # gymnasium's, on environments of older versions

INVISIBLE = {
    **dict.fromkeys(WALKS, {name for name in FAULTS if "rewards" in name or "actions" in name} | {"episodes reversed"}),
    "Pendulum-v1 smooth 20": {"pieces of 20 shuffled", "rewards a row early"},
}
"""Walks are noise, the same in reverse, and their rewards and actions say nothing. Pieces of 20 rows are whole episodes
of 20 steps. Pendulum rewards the state before the step; a row early, that is the state after it, as elsewhere."""

KINDS = ("walks 40 x 50", "Pendulum-v1 smooth 20", "MountainCarContinuous-v0 rolling", "Hopper-v5 smooth")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("own", [False, True])
def test_sound_logs_raise_no_alarm(name, own):
    assert alarms(sound(name), own_successors=own) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", list(all_sound()))
def test_every_sound_log_raises_no_alarm(name):
    assert alarms(sound(name)) == alarms(sound(name), own_successors=True) == []


# By default each fault on one kind of log that shows it; a fault that leaves no trace is none of theirs.
PAIRS = [(KINDS[fault in INVISIBLE[KINDS[0]]], fault) for fault in FAULTS]
OTHERS = [(name, fault) for name in KINDS[:2] for fault in FAULTS if (name, fault) not in PAIRS]


@pytest.mark.parametrize(("name", "fault"), [*PAIRS, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in OTHERS)])
def test_no_faulty_log_is_sound(name, fault):
    found = alarms(FAULTS[fault](sound(name)))
    assert bool(found) != (fault in INVISIBLE.get(name, set()))


@pytest.mark.parametrize("name", ["MountainCarContinuous-v0 rolling", "MountainCarContinuous-v0 smooth"])
@pytest.mark.parametrize("fault", ["rows shuffled", "rows shuffled between flags"])
def test_no_shuffled_log_with_a_wall_is_sound(name, fault):
    assert alarms(FAULTS[fault](sound(name)))


@pytest.mark.parametrize(
    ("episodes", "length"), [(200, 10), (100, 20), (66, 30), (50, 40), (33, 60), (25, 80), (20, 100)]
)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_unmarked_ends_are_found_however_short_the_episodes(episodes, length, seed):
    name = f"walks {episodes} x {length}"
    assert "jump" in alarms(no_flags(sound(name, seed)))
    assert alarms(sound(name, seed)) == []


@pytest.mark.parametrize("name", ["MountainCarContinuous-v0 rolling", "MountainCarContinuous-v0 smooth"])
def test_a_wall_is_no_reset(name):
    log = {key: column for key, column in sound(name).items() if key != "next_observations"}
    findings = examine(log_of_columns(log, "car")).findings
    assert {finding.name: finding.severity for finding in findings}["wall"] == "note"


@pytest.mark.parametrize(("times", "words"), [(2, "twice"), (3, "3 times")])
def test_rows_recorded_more_than_once_are_told_with_their_regularity(times, words):
    log = FAULTS["every row twice" if times == 2 else "every row three times"](sound("walks 40 x 50"))
    log.pop("next_observations")
    (finding,) = [f for f in examine(log_of_columns(log, "log")).findings if f.name == "repeated-rows"]
    assert finding.severity == "warning"
    assert words in finding.what


def test_flags_that_are_masks_are_asked_about():
    log = FAULTS["masks for flags"](sound("walks 40 x 50"))
    log.pop("next_observations")
    assert any("are these masks" in finding.what for finding in examine(log_of_columns(log, "log")).findings)


def test_rewards_in_rows_that_are_left_out_are_told():
    log = dict(sound("walks 40 x 50"))
    log.pop("next_observations")
    log["rewards"] = log["truncated"].astype(float)
    (finding,) = [f for f in examine(log_of_columns(log, "log")).findings if f.name == "left-out"]
    assert finding.severity == "error"
    assert "all nonzero rewards" in finding.what
    assert finding.count == 40


def test_an_episode_longer_than_the_environment_allows_is_an_error():
    log = no_flags(sound("Pendulum-v1 smooth"))
    log.pop("next_observations")
    log["truncated"][-1] = True
    env = gym.make("Pendulum-v1")
    finding = next(f for f in examine(log_of_columns(log, "log"), env).findings if f.name == "episode-limit")
    assert finding.severity == "error"
    assert "200 steps" in finding.what


def test_goals_that_change_in_even_intervals_are_asked_about():
    """As in reaching tasks, where a reset moves the arm a little and the goal far."""
    log = no_flags(sound("Reacher-v5 smooth"))
    assert "regular-changes" in alarms(log)
    log = dict(sound("walks 40 x 50"))
    # A sensor that is read at every tenth step is no goal.
    slow = np.repeat(log["observations"][::10, :1], 10, axis=0)
    log["observations"] = np.concatenate([log["observations"], slow], axis=1)
    log.pop("next_observations")
    assert alarms(log) == []


def test_where_nothing_is_smooth_order_cannot_be_judged():
    draws = np.random.default_rng(0)
    codes = draws.integers(0, 2, (400, 3)).astype(float)
    flags = np.arange(400) % 40 == 39
    actions = draws.uniform(-1, 1, (400, 1))
    columns = {"observations": codes, "actions": actions, "rewards": draws.normal(size=400)}
    columns |= {"terminated": flags & False, "truncated": flags}
    (finding,) = [f for f in examine(log_of_columns(columns, "log")).findings if f.name.startswith("order")]
    assert finding.severity == "warning"
    assert "order cannot be judged" in finding.what


def test_the_hint_at_candidates_does_not_jump_between_samples():
    log = log_of_columns({k: v for k, v in sound("Hopper-v5 smooth").items() if k != "next_observations"}, "log")
    hints = [examine(log, seed=seed).coverage["modes"]["candidates_hint"] for seed in range(4)]
    assert max(hints) - min(hints) <= 2
