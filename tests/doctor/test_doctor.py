"""The doctor: every planted fault is found, in its rows, and sound data raise no alarm."""

import argparse
import dataclasses
import functools
import json
import os
import subprocess
import sys

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest

from drol.data.log import Log
from drol.doctor import examine
from drol.doctor.findings import plain
from drol.environments.spec import EnvironmentSpec
from drol.extras import quiet
from drol.sources.ogbench import reading as ogbench
from drol.sources.ogbench.collection import collect
from tests.helpers.planted_faults import alarms, no_flags
from tests.helpers.room_logs import d4rl_like, minari_like, ogbench_like, record
from tests.helpers.sound_logs import sound

RECORDING = record()
SOUND = minari_like(RECORDING)
TUPLES = d4rl_like(RECORDING)
STOPPING = d4rl_like(record(300, stop_at_goal=True))
PLANTED = slice(500, 520)
"""Transitions in the middle of an episode, where faults are planted."""


def with_(log, **changes):
    return dataclasses.replace(log, **changes)


def changed(array, at, value):
    array = np.array(array)
    array[at] = value
    return array


def names(report, *severities):
    return {finding.name for finding in report.findings if finding.severity in (severities or ("error", "warning"))}


def only(report, name):
    found = [finding for finding in report.findings if finding.name == name]
    assert found, f"{name} was not found, but {[finding.name for finding in report.findings]}"
    return found[0]


# Sound data


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Small data sets of OGBench's experts, by name."""
    folder = tmp_path_factory.mktemp("collected")
    sizes = {"pointmaze-medium-navigate": (25, 121), "cube-single-play": (3, 71)}
    for name, (episodes, steps) in sizes.items():
        collect(name, out=folder / f"{name}.npz", episodes=episodes, steps=steps)
    return folder


@pytest.mark.parametrize(
    "log",
    [
        SOUND,
        minari_like(RECORDING, timing="pre"),
        minari_like(record(300, stop_at_goal=True)),
        ogbench_like(RECORDING),
        TUPLES,
        d4rl_like(RECORDING, dense=True),
        STOPPING,
    ],
    ids=["minari", "before", "minari-stopping", "ogbench", "d4rl", "d4rl-dense", "d4rl-stopping"],
)
def test_sound_data_raise_no_alarm(log):
    assert names(examine(log)) == set()


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate", "cube-single-play"])
def test_data_of_ogbenchs_experts_raise_no_alarm(collected, name):
    path = collected / f"{name}.npz"
    assert names(examine(ogbench.read(path))) == set()


def test_relabelled_data_raise_no_alarm(collected):
    log = ogbench.read(collected / "pointmaze-medium-navigate.npz")
    near = np.linalg.norm(log.observations - np.median(log.observations, axis=0), axis=1) < 3
    log = with_(log, rewards=near[log.index] - 1.0, terminated=near[log.index])
    report = examine(log)
    assert names(report) == set()
    assert "before the step" in only(report, "reward-timing").what


def test_actions_that_are_always_the_same_are_an_error():
    finding = only(examine(with_(SOUND, actions=np.zeros_like(SOUND.actions))), "constant-action")
    assert finding.severity == "error"
    assert "the same in every transition" in finding.what


def test_several_constant_actions_are_told_in_the_plural():
    wide = np.concatenate([SOUND.actions, np.full_like(SOUND.actions, 0.5)], axis=1)
    finding = only(examine(with_(SOUND, actions=wide)), "constant-action")
    assert finding.severity == "note"
    assert "are never" not in finding.what
    assert "never change" in finding.what
    assert "leave them out" in finding.remedy


def test_pieces_of_one_recording_are_no_crossing():
    """As D4RL's maze2d: episodes are cut where the target changes, and the robot drives on."""
    ends = changed(SOUND.ends, slice(9, None, 10), True)
    assert "crosses-episodes" not in names(examine(with_(SOUND, ends=ends, truncated=ends)))


def test_portals_are_noted_only():
    """As in OGBench's pointmaze-teleport: jumps are large, but always leave from the same place."""
    draws = np.random.default_rng(0)
    position, states, jumps = 0.0, [], []
    for step in range(6000):
        states.append([position])
        position += 0.006 + 0.002 * draws.normal()
        if position > 1:
            position = draws.choice([0.0, 0.3])
            jumps.append(step)
    count = np.arange(5999)
    ends = (count == 5998) | np.isin(count, np.array(jumps[4::20]) - 5)
    actions = draws.uniform(-1, 1, (5999, 1))
    log = Log("portals", np.array(states), actions, None, ends & False, ends, ends, count, count + 1, count)
    report = examine(log)
    assert names(report) == set()
    assert only(report, "portals").count == len([jump for jump in jumps if jump < 5999])


def test_jumps_from_one_place_are_asked_about_where_no_end_is_marked():
    """A task that always ends at its goal."""
    log = no_flags(sound("MountainCarContinuous-v0 rolling"))
    assert alarms(log) == ["portals"]


# Planted faults


def crossing():
    """States after the last action were not recorded, and the next row was taken for them."""
    last = np.flatnonzero(SOUND.ends)[:-1]
    next_index = changed(SOUND.next_index, last, SOUND.index[last + 1])
    return with_(SOUND, next_index=next_index), last


def forgotten_ends():
    """Ends that were not marked."""
    last = np.flatnonzero(SOUND.ends)[:-1]
    distance = np.abs(SOUND.observations[SOUND.index[last + 1]] - SOUND.observations[SOUND.index[last]])[:, :2]
    at = last[distance.max(axis=1) > 0.8][:10]
    flags = {name: changed(getattr(SOUND, name), at, False) for name in ("ends", "truncated")}
    return with_(SOUND, next_index=changed(SOUND.next_index, at, SOUND.index[at + 1]), **flags), at


def timeouts_as_terminations():
    return with_(SOUND, terminated=SOUND.ends, truncated=None), np.flatnonzero(SOUND.ends)


def terminations_as_timeouts():
    log = with_(STOPPING, terminated=np.zeros_like(STOPPING.ends), truncated=STOPPING.ends)
    lengths = np.diff(np.append(-1, np.flatnonzero(log.ends)))
    return log, np.flatnonzero(log.ends)[lengths < lengths.max()]


def both_ends():
    return with_(STOPPING, terminated=STOPPING.ends, truncated=STOPPING.ends), np.flatnonzero(STOPPING.ends)


def wrong_successors():
    at = np.arange(PLANTED.start, PLANTED.stop)
    following = np.array(TUPLES.next_observations)
    following[at, 0] += 0.01
    return with_(TUPLES, next_observations=following), at


def shuffled():
    order = np.random.default_rng(0).permutation(len(TUPLES))
    inner = order[~TUPLES.ends[order]][:500]
    columns = {name: getattr(TUPLES, name)[inner] for name in ("actions", "index", "next_index", "rows")}
    none = np.zeros(500, bool)
    none[49::50] = True
    log = with_(TUPLES, rewards=None, terminated=none & False, truncated=none, ends=none, **columns)
    # A few rows may be in place by chance.
    out_of_place = np.append(log.next_index[:-1] + 1 != log.index[1:], True)
    return log, np.flatnonzero(~none & out_of_place)


def not_finite(field, value):
    array = np.array(getattr(TUPLES, field), np.float64)
    array[PLANTED] = value
    return with_(TUPLES, **{field: array}), np.arange(PLANTED.start, PLANTED.stop)


def out_of_bounds():
    return with_(SOUND, actions=changed(SOUND.actions, (PLANTED, 1), 1.5)), np.arange(PLANTED.start, PLANTED.stop)


def scaled_actions(scale, offset=0.0):
    return with_(SOUND, actions=SOUND.actions * scale + offset), None


def observations(change):
    """A table whose values `change` has changed."""
    return with_(SOUND, observations=change(SOUND.observations)), None


def rewards(value):
    return with_(SOUND, rewards=value), None


def shifted(by, *, timing):
    """Rewards moved by a row within each episode."""
    log = minari_like(record(200), timing=timing)
    moved = np.roll(log.rewards.reshape(-1, 60), by, axis=1)
    # What the roll brought in from the other end of the episode.
    moved[:, 0 if by > 0 else -1] = moved[:, 1 if by > 0 else -2]
    return with_(log, rewards=moved.ravel()), None


def rolled():
    """Rewards moved by a row across episodes, so that the last reward falls into the next episode."""
    lengths = np.diff(np.append(-1, np.flatnonzero(STOPPING.ends)))
    after = np.flatnonzero(STOPPING.ends)[lengths > 1] + 1
    return with_(STOPPING, rewards=np.roll(STOPPING.rewards, 1)), after[after < len(STOPPING)]


def repeated_episodes():
    recording = record(40)
    for part in (recording.states, recording.actions, recording.reached):
        part.append(part[3])
        part.append(part[8])
    return minari_like(recording), np.array([40 * 60, 41 * 60])


def repeated_transitions():
    """Rows 500..519 of the table are copied over those from 1000, in another episode."""
    at = np.arange(1000, 1100)
    tables = {name: np.array(getattr(TUPLES, name)) for name in ("observations", "actions", "next_observations")}
    for table in tables.values():
        table[at] = table[at - 500]
    return with_(TUPLES, **tables), at


def single_steps():
    first = np.arange(20) * 60
    return with_(SOUND, ends=changed(SOUND.ends, first, True)), first


def half_precision():
    both = {name: getattr(TUPLES, name).astype(np.float16) for name in ("observations", "next_observations")}
    return with_(TUPLES, **both), None


FAULTS = {
    "crossing": ("crosses-episodes", "error", crossing),
    "forgotten ends": ("jump", "error", forgotten_ends),
    "timeouts as terminations": ("timeout-as-termination", "error", timeouts_as_terminations),
    "terminations as timeouts": ("termination-as-timeout", "warning", terminations_as_timeouts),
    "both ends": ("both-ends", "warning", both_ends),
    "wrong successors": ("successor", "error", wrong_successors),
    "shuffled tuples": ("row-order", "note", shuffled),
    "NaN observations": ("not-finite", "error", lambda: not_finite("observations", np.nan)),
    "infinite successors": ("not-finite", "error", lambda: not_finite("next_observations", np.inf)),
    "NaN actions": ("not-finite", "error", lambda: not_finite("actions", np.nan)),
    "overflowing rewards": ("not-finite", "error", lambda: not_finite("rewards", 1e39)),
    "actions out of bounds": ("action-bounds", "error", out_of_bounds),
    "actions to 255": ("action-units", "error", lambda: scaled_actions(255)),
    "small actions": ("action-units", "warning", lambda: scaled_actions(0.02)),
    "actions from 0 to 1": ("action-units", "warning", lambda: scaled_actions(0.5, 0.5)),
    "constant action": (
        "constant-action",
        "note",
        lambda: (with_(SOUND, actions=changed(SOUND.actions, (slice(None), 1), 0.5)), None),
    ),
    "saturated actions": (
        "saturated-action",
        "note",
        lambda: (with_(SOUND, actions=np.where(SOUND.actions > 0, 1.0, -1.0)), None),
    ),
    "constant dimension": (
        "constant-observation",
        "note",
        lambda: observations(lambda table: changed(table, (slice(None), 4), 7)),
    ),
    "repeated dimension": (
        "redundant-observation",
        "note",
        lambda: observations(lambda table: np.concatenate([table, 3 - 2 * table[:, :1]], axis=1)),
    ),
    "zero rewards": ("constant-rewards", "error", lambda: rewards(np.zeros(len(SOUND)))),
    "equal rewards": ("constant-rewards", "error", lambda: rewards(np.full(len(SOUND), -1.0))),
    "late rewards": ("reward-shift", "error", lambda: shifted(1, timing="pre")),
    "early rewards": ("reward-shift", "error", lambda: shifted(-1, timing="post")),
    "rolled rewards": ("reward-shift", "error", rolled),
    "float16": ("half-precision", "warning", half_precision),
    "pixels": (
        "integer-observations",
        "warning",
        lambda: observations(lambda table: (100 * table + 120).clip(0, 255).astype(np.uint8)),
    ),
    "integer actions": (
        "integer-actions",
        "warning",
        lambda: (with_(SOUND, actions=np.sign(SOUND.actions).astype(np.int64)), None),
    ),
    "repeated episodes": ("duplicate-episodes", "warning", repeated_episodes),
    "repeated transitions": ("duplicate-transitions", "warning", repeated_transitions),
    "few episodes": ("few-episodes", "note", lambda: (ogbench_like(record(5)), None)),
    "single steps": ("single-step", "warning", single_steps),
}

COMPANIONS = {"repeated transitions": {"successor"}}
"""What a fault cannot help bringing along."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(fault):
    name, severity, plant = FAULTS[fault]
    log, at = plant()
    report = examine(log)
    finding = only(report, name)
    assert finding.severity == severity
    assert names(report) - {name} <= COMPANIONS.get(fault, set())
    assert finding.what
    assert finding.why
    assert finding.remedy
    if at is not None:
        assert finding.rows == tuple(log.rows[at[:5]])
        assert finding.count == len(at)


@pytest.mark.parametrize("length", [60, 200])
def test_regular_jumps_are_ends_whatever_their_place(length):
    """Forgotten time limits are told from portals by their even spacing, even where they are many."""
    count = np.arange(20 * length)
    noise = np.random.default_rng(0).normal(0, 0.1, (len(count) + 1, 1))
    states = (np.append(count, len(count)) % length)[:, None] + noise
    ends = count == len(count) - 1
    actions = np.random.default_rng(1).uniform(-1, 1, (len(count), 1))
    log = Log("ramps", states, actions, None, ends & False, ends, ends, count, count + 1, count)
    finding = only(examine(log), "jump")
    assert "at even intervals" in finding.what
    assert finding.rows[0] == length - 1
    assert finding.count == 19


@pytest.mark.parametrize(
    ("width", "hit", "code"), [(6, 1, "partial-jump"), (6, 6, "jump"), (3, 1, "partial-jump"), (3, 3, "jump")]
)
def test_a_jump_of_the_whole_state_is_told_from_one_of_a_few_numbers(width, hit, code):
    """A tossed object, or a wrapped angle, beside an arm that moves on: a reset would move all of it."""
    rng, count = np.random.default_rng(0), np.arange(4000)
    at = np.sort(rng.choice(count[:-1], 12, replace=False))
    steps = rng.normal(0, 0.1, (len(count), width))
    steps[at, :hit] += 3.0
    states = np.cumsum(np.concatenate([np.zeros((1, width)), steps]), axis=0)
    ends = (count + 1) % 200 == 0
    at = at[~ends[at]]
    actions = rng.uniform(-1, 1, (len(count), 2))
    log = Log("walks", states, actions, None, ends & False, ends, ends, count, count + 1, count)
    finding = only(examine(log), code)
    # Of few numbers, one ordinary step in thousands goes as far as a jump of one of them.
    assert len(at) <= finding.count <= len(at) + (width < 6)
    assert finding.severity == ("warning" if code == "partial-jump" else "error")


def test_a_final_state_that_is_not_finite_is_found_in_its_transition():
    last = np.flatnonzero(SOUND.ends)[3]
    log = with_(SOUND, observations=changed(SOUND.observations, (SOUND.next_index[last], 2), np.nan))
    finding = only(examine(log), "not-finite")
    assert finding.rows == (log.rows[last],)
    assert finding.count == 1


def test_most_rows_shuffled_is_said():
    assert "in most rows: rows are not in time order" in only(examine(shuffled()[0]), "row-order").what


@pytest.mark.parametrize(("timing", "words"), [("pre", "before the step"), ("post", "after the step")])
def test_the_timing_of_rewards_is_told(timing, words):
    finding = only(examine(minari_like(RECORDING, timing=timing)), "reward-timing")
    assert finding.severity == "note"
    assert words in finding.what


def test_stated_bounds_are_those_that_count():
    low, high = np.full(2, -255.0), np.full(2, 255.0)
    log = with_(SOUND, actions=SOUND.actions * 255, action_low=low, action_high=high)
    assert names(examine(log)) == set()
    log = with_(SOUND, actions=SOUND.actions / 2 + 0.5, action_low=np.zeros(2), action_high=np.ones(2))
    assert names(examine(log)) == set()
    finding = only(examine(with_(SOUND, action_low=low, action_high=high)), "action-units")
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"actions": SOUND.actions[:, :, None]}, "shape"),
        ({"actions": SOUND.actions.astype(str)}, "shape"),
        ({"rewards": SOUND.actions}, "shape"),
        ({"observations": SOUND.observations[:, :0]}, "shape"),
        ({"next_observations": SOUND.observations[:, :3]}, "shape"),
        ({"action_low": np.zeros(3)}, "shape"),
        ({"index": SOUND.index + 60}, "index"),
        ({"next_index": SOUND.next_index - 2}, "index"),
    ],
)
def test_a_broken_structure_is_said_and_nothing_further(changes, name):
    report = examine(with_(SOUND, **changes))
    assert names(report) == {name}
    assert report.coverage == {}
    assert report.facts["transitions"] == len(SOUND)


def test_no_transitions():
    columns = ("actions", "rewards", "terminated", "truncated", "ends", "index", "next_index", "rows")
    assert names(examine(with_(SOUND, **{name: getattr(SOUND, name)[:0] for name in columns}))) == {"empty"}


# Figures


def test_figures_of_coverage():
    figures = examine(STOPPING).coverage
    lengths = np.diff(np.append(-1, np.flatnonzero(STOPPING.ends)))
    assert figures["episodes"] == 300
    assert figures["lengths"]["median"] == np.median(lengths)
    assert figures["lengths"]["max"] == lengths.max()
    assert figures["returns"]["min"] == 1
    assert figures["ends_terminated"] == STOPPING.terminated[STOPPING.ends].mean()
    assert figures["actions"][1]["mean"] == pytest.approx(STOPPING.actions[:, 1].mean(), abs=1e-6)
    assert figures["actions"][1]["at_bound"] == pytest.approx((np.abs(STOPPING.actions[:, 1]) > 0.999).mean())


@pytest.mark.parametrize(
    ("modes", "noise", "hint"), [(1, 0.0, 1), (1, 0.05, 5), (2, 0.05, 9), (4, 0.05, 16), (6, 0.02, 20)]
)
def test_ways_of_acting_are_counted(modes, noise, hint):
    """About four candidates a way; one where there is nothing to choose."""
    draws, count = np.random.default_rng(0), np.arange(3000)
    angle = 2 * np.pi * draws.integers(modes, size=3000) / modes
    states = draws.normal(size=(3001, 2))
    # Actions also depend on the state, so that neighbours without noise act nearly alike.
    scale = 0.5 + 0.2 * np.tanh(states[:-1, :1]) if modes == 1 else 0.6
    actions = scale * np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * draws.normal(size=(3000, 2))
    ends = count % 100 == 99
    log = Log("ways", states, actions, None, ends & False, ends, ends, count, count + 1, count)
    figures = examine(log).coverage["modes"]
    assert figures["modes"] == pytest.approx(modes, rel=0.4)
    assert abs(figures["candidates_hint"] - hint) <= 1 if hint > 1 else figures["candidates_hint"] == 1


def test_the_same_seed_gives_the_same_report():
    one, other = (examine(SOUND, seed=3).as_json() for _ in range(2))
    one["facts"].pop("seconds"), other["facts"].pop("seconds")
    assert one == other


def test_a_report_is_plain_json():
    report = examine(not_finite("rewards", np.nan)[0])
    text = json.dumps(report.as_json(), allow_nan=False)
    assert json.loads(text)["findings"][0]["name"] == "not-finite"
    assert plain({"a": np.float32(np.nan), "b": (np.int64(3), [np.inf])}) == {"a": None, "b": [3, [None]]}


# With an environment


@functools.cache
def environment(name):
    with quiet():
        return EnvironmentSpec(f"ogbench:{name}").make()


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate", "cube-single-play"])
def test_replayed_actions_lead_where_the_log_says(collected, name):
    log, env = ogbench.read(collected / f"{name}.npz"), environment(f"{name.rsplit('-', 1)[0]}-v0")
    report = examine(log, env)
    assert names(report) == set()
    assert report.coverage["replay"]["steps"] == 200
    assert report.coverage["replay"]["drift_median"] < 0.1
    wrong = examine(with_(log, actions=np.roll(log.actions, 1, axis=0)), env)
    assert only(wrong, "drift").severity == "error"
    assert wrong.coverage["replay"]["drift_max"] > 1


def test_what_forbids_a_replay_is_noted(collected):
    log, env = ogbench.read(collected / "pointmaze-medium-navigate.npz"), environment("pointmaze-medium-v0")
    finding = only(examine(with_(log, states={}), env), "no-replay")
    assert finding.severity == "note"
    assert "qpos, qvel" in finding.what
    broken = {name: state[:, :1] for name, state in log.states.items()}
    assert "refused" in only(examine(with_(log, states=broken), env), "no-replay").what


def test_another_environment_is_recognised(collected):
    log, env = ogbench.read(collected / "cube-single-play.npz"), environment("pointmaze-medium-v0")
    assert names(examine(log, env)) == {"environment-observation", "environment-action"}
    log = ogbench.read(collected / "pointmaze-medium-navigate.npz")
    bounds = {"action_low": np.full(2, -2.0), "action_high": np.full(2, 2.0)}
    assert "environment-bounds" in names(examine(with_(log, **bounds), env))


# Anything at all


@st.composite
def anything(draw):
    """A log's fields: what makes the log draws random numbers to check types, which strategies must not."""
    count, states, width = draw(st.integers(1, 50)), draw(st.integers(1, 50)), draw(st.integers(1, 3))
    numbers = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_])
    table = lambda rows: draw(arrays.arrays(draw(numbers), (rows, width)))  # noqa: E731
    flags = arrays.arrays(bool, count)
    apart = draw(st.booleans())
    return dict(
        where="anything",
        observations=table(states),
        actions=table(count),
        rewards=draw(st.none() | arrays.arrays(draw(numbers), count)),
        terminated=draw(flags),
        truncated=draw(st.none() | flags),
        ends=draw(flags),
        index=draw(arrays.arrays(np.int64, count, elements=st.integers(0, states - 1))),
        next_index=draw(arrays.arrays(np.int32, count, elements=st.integers(0, states - 1))),
        rows=np.arange(count),
        next_observations=table(states) if apart else None,
        action_low=draw(st.none() | arrays.arrays(np.float32, width)),
        action_high=draw(st.none() | arrays.arrays(np.float32, width)),
    )


@hypothesis.given(anything())
def test_nothing_makes_it_fail(fields):
    json.dumps(examine(Log(**fields)).as_json(), allow_nan=False)


# The command


def command(log, monkeypatch, *arguments):
    from drol.cli import doctor

    monkeypatch.setattr(doctor, "read_log", lambda name, data, **options: log)
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser, [])
    return doctor.run(parser.parse_args(["room", *arguments]))


def test_the_command_prints_and_writes(monkeypatch, capsys, tmp_path):
    log, at = wrong_successors()
    assert command(log, monkeypatch, "--json", str(tmp_path / "report.json")) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("room: not fit for training (1 error, 1 note)")
    assert f"rows {', '.join(map(str, log.rows[at[:5]]))}, ... (20 in all)" in shown
    for word in ("error: successor", "why", "remedy", "Coverage", "candidates"):
        assert word in shown
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["findings"][0]["rows"] == log.rows[at[:5]].tolist()
    assert written["coverage"]["episodes"] == 40


def test_sound_data_exit_with_success(monkeypatch, capsys):
    assert command(SOUND, monkeypatch) == 0
    assert "room: sound (1 note)" in capsys.readouterr().out


def test_the_command_replays(monkeypatch, capsys, collected):
    log = ogbench.read(collected / "pointmaze-medium-navigate.npz")
    assert command(log, monkeypatch, "--env", "ogbench:pointmaze-medium-v0") == 0
    assert "Replay of 200 steps" in capsys.readouterr().out


def test_wrong_options_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(SOUND, monkeypatch, "--seed", "-1")
    assert "--seed" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no-such"):
        command(SOUND, monkeypatch, "--env", "no-such-v0")


# A million transitions

LARGE = """
import resource, sys, time
import numpy as np
from drol.doctor import examine
from drol.data.log import Log

T, L, mapped = 1_000_000, 1000, sys.argv[1] == "mapped"
draws = np.random.default_rng(0)
tables = {}
for name, shape in (("observations", (T + T // L, 29)), ("actions", (T, 8))):
    path = sys.argv[2] + "/" + name
    tables[name] = np.memmap(path, np.float32, "w+", shape=shape) if mapped else np.empty(shape, np.float32)
at_goal = np.empty(T, np.float32)
for episode in range(T // L):
    states = 0.1 * draws.standard_normal((L + 1, 29), np.float32).cumsum(0) + draws.standard_normal(29, np.float32)
    tables["observations"][episode * (L + 1) : (episode + 1) * (L + 1)] = states
    tables["actions"][episode * L : (episode + 1) * L] = draws.uniform(-1, 1, (L, 8))
    at_goal[episode * L : (episode + 1) * L] = states[1:, 0] > 3
if mapped:
    tables = {name: np.memmap(table.filename, np.float32, "r", shape=table.shape) for name, table in tables.items()}
number = np.arange(T)
index, ends = number + number // L, number % L == L - 1
log = Log("large", **tables, rewards=at_goal, terminated=ends & False, truncated=ends, ends=ends, index=index,
          next_index=index + 1, rows=number)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = examine(log)
extra = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
assert not report.of("error") and not report.of("warning"), report.findings
print(report.facts["seconds"], extra / report.facts["bytes"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "mapped"])
def test_a_million_transitions_in_half_a_minute(kind, tmp_path):
    # One thread: those of OpenBLAS wait for one another by spinning, which on a busy machine measures the others' work.
    environ = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    code = [sys.executable, "-c", LARGE, kind, str(tmp_path)]
    result = subprocess.run(code, capture_output=True, text=True, check=True, env=environ)
    print(result.stdout)
    seconds, extra = map(float, result.stdout.split())
    assert seconds < 30
    assert extra < 2
