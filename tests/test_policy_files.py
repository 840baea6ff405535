"""Policy files whatever they hold, and loaded policies as values: pickled, copied, printed, kept to their bounds."""

import copy
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import pickle
import re
import tempfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from safetensors.numpy import load, save

import drol
from drol import DROL, Choice, Spec, Units, in_units, load_policy, save_policy
from drol.data.log import log_of_tuples
from drol.data.units import units_of
from drol.errors import DataError
from drol.nn import CriticEnsemble, LatentActor, MeanActor, VectorField
from drol.policy import POLICY_KINDS, FlowPolicy, LatentPolicy, MeanPolicy, ShortcutPolicy, SteeredPolicy
from drol.policy.description import describe, empty
from drol.policy.files import _checksum
from drol.policy.loaded import AHEAD, LoadedPolicy
from drol.types import inward
from tests.helpers.samples import sampled

SPEC = Spec(4, 3)
FEW = Choice("one", num_samples=4, dense_topk=2)


@functools.cache
def networks():
    @jax.jit
    def build(key):
        fields = [VectorField(SPEC, (8,), conditions=count, key=key) for count in (0, 1, 2)]
        critics = [CriticEnsemble(SPEC, (8,), conditions=count, key=key) for count in (0, 1)]
        return *fields, *critics, LatentActor(SPEC, (8,), key=key), MeanActor(SPEC, (8,), key=key)

    return build(jax.random.key(0))


@functools.cache
def policies():
    refiner, flow, shortcut, critic, counting, latent, mean = networks()
    return {
        "latent": LatentPolicy(latent, critic, FEW),
        "normal": LatentPolicy(latent, critic, FEW, prior="normal"),
        "flow": FlowPolicy(flow, refiner, critic, FEW, flow_steps=2),
        "shortcut": ShortcutPolicy(shortcut, counting, FEW, steps=2),
        "steered": SteeredPolicy(latent, flow, critic, FEW, flow_steps=2),
        "mean": MeanPolicy(mean, critic, dataclasses.replace(FEW, how="centre"), noise_limit=0.5),
    }


UNITS = Units(np.zeros(4), np.ones(4), np.array([-0.1, -1 / 3, 5.0]), np.array([0.1, 0.7, 7.0]))


@pytest.fixture
def untyped(monkeypatch):
    """As users meet it, without the tests' checks of types."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def saved(tmp_path):
    save_policy(policies()["latent"], tmp_path / "policy", {"task": "some-task"})
    return tmp_path / "policy"


def written(folder, description, arrays=None):
    """Files as an editor would leave them: with checksums that fit."""
    folder.mkdir(exist_ok=True)
    if arrays is not None:
        name = f"arrays-{hashlib.sha256(arrays).hexdigest()}.safetensors"
        (folder / name).write_bytes(arrays)
        description = description | {"arrays": name}
    description = description | {"checksum": _checksum(description)} if isinstance(description, dict) else description
    (folder / "policy.json").write_text(json.dumps(description))
    return folder


@functools.cache
def stored(name="latent", in_what=False):
    """A policy's description and arrays."""
    with tempfile.TemporaryDirectory() as folder:
        policy = policies()[name]
        save_policy(in_units(policy, UNITS) if in_what else policy, folder, {"task": "t"})
        (arrays,) = Path(folder).glob("arrays-*")
        return json.loads(Path(folder, "policy.json").read_text()), arrays.read_bytes()


def outcome(folder):
    """A policy that acts, or one DataError."""
    try:
        loaded = load_policy(folder)
    except DataError:
        return
    assert np.isfinite(loaded(np.zeros(4))).all()


NUMBERS = st.one_of(st.integers(-2, 70), st.sampled_from([0.5, -1.0, 1e308, 10**12, 10**30]))
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), NUMBERS, st.text(max_size=4), st.sampled_from(["one", "dense", "mean", "../x"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("name", "in_what"),
    sampled(
        [("latent", False), ("flow", True), ("steered", False), ("mean", False)], [("latent", False), ("flow", True)]
    ),
)
@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(data=st.data())
def test_an_edited_description_acts_or_is_refused(name, in_what, data):
    description, arrays = stored(name, in_what)
    names = st.sampled_from([("config", key) for key in description["config"]] + [(key,) for key in description])
    edited = copy.deepcopy(description)
    for place in data.draw(st.lists(names, min_size=1, max_size=2, unique=True)):
        holder = edited
        for key in place[:-1]:
            holder = holder[key] if isinstance(holder, dict) and key in holder else {}
        if isinstance(holder, dict):
            if data.draw(st.booleans()) and place[-1] in holder:
                del holder[place[-1]]
            else:
                holder[place[-1]] = data.draw(VALUES)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / description["arrays"]).write_bytes(arrays)
        outcome(written(Path(folder), edited))


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(data=st.data())
def test_arrays_cut_or_flipped_act_or_are_refused(data):
    description, content = stored()
    edited = bytearray(content)
    places = st.one_of(st.integers(0, 400), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        edited[place] = value
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    with tempfile.TemporaryDirectory() as folder:
        outcome(written(Path(folder), description, bytes(edited[:length])))


@pytest.mark.parametrize(
    "changes",
    [
        {"arrays": 3},
        {"arrays": "../policy.json"},
        {"arrays": "/etc/passwd"},
        {"arrays": f"arrays-{'0' * 64}.safetensors/../../x"},
        {"kind": [1]},
        {"kind": {"a": 1}},
        {"version": True},
        {"version": [1]},
        {"facts": [1]},
        {"facts": None},
        {"config": None},
        {"config": []},
        {"checksum": 3},
    ],
)
def test_an_edited_description_is_refused(tmp_path, changes):
    description, arrays = stored()
    edited = description | changes
    folder = written(tmp_path / "p", edited)
    (folder / description["arrays"]).write_bytes(arrays)
    if "checksum" in changes:
        (folder / "policy.json").write_text(json.dumps(edited))
    with pytest.raises(DataError):
        load_policy(folder)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("latent", {"latent_radius": -1.0}),
        ("latent", {"latent_radius": "1"}),
        ("latent", {"latent_radius": True}),
        ("latent", {"latent_radius": 10**400}),
        ("latent", {"latent_radius": 1e39}),
        ("latent", {"num_samples": -3}),
        ("latent", {"num_samples": True, "dense_topk": True}),
        ("latent", {"num_samples": 10**9}),
        ("latent", {"num_samples": 8.0}),
        ("latent", {"dense_topk": 0}),
        ("latent", {"q_agg": "max"}),
        ("latent", {"q_agg": ["mean"]}),
        ("latent", {"kind": ["one"]}),
        ("latent", {"prior": 3}),
        ("latent", {"observation_dim": True}),
        ("latent", {"action_dim": -3}),
        ("latent", {"actor_hidden": "88"}),
        ("latent", {"actor_hidden": [8.0]}),
        ("latent", {"actor_hidden": [8] * 100_000}),
        ("latent", {"actor_hidden": [10**9, 10**9]}),
        ("latent", {"critic_ensemble": 0}),
        ("latent", {"critic_ensemble": 10**15}),
        ("latent", {"unknown": 1}),
        ("flow", {"flow_steps": 0}),
        ("flow", {"flow_steps": 10**9}),
        ("flow", {"flow_steps": True}),
        ("shortcut", {"steps": True}),
        ("shortcut", {"steps": [1]}),
        ("steered", {"flow_steps": 2.0}),
        ("mean", {"std": -1}),
        ("mean", {"std": None}),
        ("mean", {"std": 1e308}),
        ("mean", {"noise_limit": 10**39}),
        ("mean", {"noise_limit": "x"}),
        ("mean", {"bound": ["clip"]}),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(untyped, tmp_path, name, changes):
    description, arrays = stored(name)
    edited = description | {"config": description["config"] | changes}
    with pytest.raises(DataError, match="is damaged"):
        load_policy(written(tmp_path / "p", edited, arrays))


@pytest.mark.parametrize(
    ("name", "changes"),
    [("latent", {"latent_radius": 2**63}), ("mean", {"std": 2**63}), ("mean", {"noise_limit": 2**31})],
)
def test_whole_numbers_larger_than_int32_act(untyped, tmp_path, name, changes):
    description, arrays = stored(name)
    folder = written(tmp_path / "p", description | {"config": description["config"] | changes}, arrays)
    assert np.isfinite(load_policy(folder, kind="one")(np.ones((3, 4)))).all()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_radius_that_is_no_number_is_refused(tmp_path, text):
    description, arrays = stored()
    folder = written(tmp_path / "p", description, arrays)
    edited = description | {"config": description["config"] | {"latent_radius": float(text)}}
    (folder / "policy.json").write_text(json.dumps(edited | {"checksum": _checksum(edited)}))
    with pytest.raises(DataError, match="not readable as JSON"):
        load_policy(folder)
    with pytest.raises(ValueError, match="latent_radius must be a finite number"):
        policies()["latent"].__class__(networks()[5], None, latent_radius=float(text))


def replaced(content, **changes):
    arrays = load(content)
    return save({name: changes.get("all", lambda x: x)(array) for name, array in arrays.items()})


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.int32),
        lambda x: np.full_like(x, np.nan),
        lambda x: np.full_like(x, np.inf),
        lambda x: x[..., None],
        lambda x: x[:0],
        lambda x: np.zeros((*x.shape, 1000), np.float32),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, change):
    description, content = stored()
    with pytest.raises(DataError):
        load_policy(written(tmp_path / "p", description, replaced(content, all=change)))


@pytest.mark.parametrize("header", [b"\xff" * 7 + b"\x7f", (1 << 20).to_bytes(8, "little"), b""])
def test_headers_that_announce_too_much_are_refused(tmp_path, header):
    description, content = stored()
    with pytest.raises(DataError):
        load_policy(written(tmp_path / "p", description, header + content[len(header) :] if header else b""))


def test_units_that_lead_nowhere_are_refused(tmp_path):
    description, content = stored("latent", True)
    for name, value in (("observation_std", 0.0), ("action_low", 100.0)):
        arrays = load(content)
        (key,) = [key for key in arrays if key.endswith(name)]
        edited = save(arrays | {key: np.full_like(arrays[key], value)})
        with pytest.raises(DataError, match=name):
            load_policy(written(tmp_path / name, description, edited))


@pytest.mark.parametrize("what", ["pipe", "folder", "device", "huge", "missing"])
@pytest.mark.parametrize("which", ["policy.json", "arrays"])
def test_what_is_no_file_is_refused_and_not_waited_for(saved, which, what):
    (path,) = saved.glob(f"{which}*")
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "huge":
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(DataError):
        load_policy(saved)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 300_000, b'{"format":' * 5000, b"null", b"1", b'"x"'])
def test_descriptions_that_are_none_are_refused(saved, content):
    (saved / "policy.json").write_bytes(content)
    with pytest.raises(DataError):
        load_policy(saved)


def test_deep_facts_are_refused_although_they_fit_their_checksum(saved):
    description, _ = stored()
    text = json.dumps(description | {"facts": {"a": "HERE"}}, sort_keys=True)
    (saved / "policy.json").write_text(text.replace('"HERE"', "[" * 900 + "]" * 900))
    with pytest.raises(DataError, match="nested too deeply"):
        load_policy(saved)


def test_places_where_there_is_no_policy_are_told_apart(untyped, saved, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_policy(tmp_path / "nowhere")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(DataError, match="its run has not saved one"):
        load_policy(tmp_path / "run")
    (arrays,) = saved.glob("arrays-*")
    with pytest.raises(DataError, match="is not a policy folder"):
        load_policy(arrays)
    assert load_policy(saved / "policy.json").facts == {"task": "some-task"}
    with pytest.raises(ValueError, match="policy kind must be one of one, centre, best-of-n, dense, found 'all'"):
        load_policy(saved, kind="all")
    with pytest.raises(ValueError, match=r"seed must be a whole number.*found 'a'"):
        load_policy(saved, seed="a")


def test_saving_what_is_no_policy_is_told(untyped, tmp_path):
    policy = policies()["latent"]
    with pytest.raises(
        ValueError, match=r"save_policy\(policy, path\) expects a policy first, found \w*; the two are sw"
    ):
        save_policy(str(tmp_path / "p"), policy)
    with pytest.raises(ValueError, match=r"expects a policy first, found DROL; .*algorithm\.policy\(state\)"):
        save_policy(DROL(), tmp_path / "p")
    with pytest.raises(ValueError, match="expects the name of a folder, found int"):
        save_policy(policy, 3)
    with pytest.raises(ValueError, match="must hold arrays"):
        save_policy(empty("latent", describe(policy)), tmp_path / "p")

    class Own(MeanPolicy):
        pass

    with pytest.raises(ValueError, match=r"only drol's own policies can be stored \(LatentPolicy,.*found Own"):
        save_policy(Own(networks()[6], None), tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    "value", [np.float32(1), np.zeros(2), float("nan"), {1, 2}, b"x", json.loads("[" * 98 + "]" * 98), object()]
)
def test_facts_that_are_no_json_are_named_and_nothing_is_written(untyped, tmp_path, value):
    with pytest.raises(ValueError, match="facts must be JSON values by name, but 'odd' is not"):
        save_policy(policies()["latent"], tmp_path / "p", {"fine": 1, "odd": [value]})
    with pytest.raises(ValueError, match="facts must be JSON values by name, found str"):
        save_policy(policies()["latent"], tmp_path / "p", "odd")
    assert not (tmp_path / "p").exists()


def test_facts_come_back_as_json_has_them(tmp_path):
    facts = {"a": (1, 2), "b": {10: "x", 2: "y"}, "c": None}
    save_policy(policies()["latent"], tmp_path / "p", facts)
    assert load_policy(tmp_path / "p").facts == {"a": [1, 2], "b": {"10": "x", "2": "y"}, "c": None}


def test_a_loaded_policy_is_saved_with_its_facts(saved, tmp_path):
    loaded = load_policy(saved, kind="centre")
    save_policy(loaded, tmp_path / "again")
    again = load_policy(tmp_path / "again")
    assert again.facts == loaded.facts
    np.testing.assert_array_equal(again(np.zeros(4)), loaded(np.zeros(4)))


def continued(policy):
    """What a policy does next: one, several, and one again."""
    return [policy(np.full(4, 0.3)), policy(np.zeros((3, 4))), policy(np.full(4, 0.3))]


def pickled(policy):
    return pickle.loads(pickle.dumps(policy))


@pytest.mark.parametrize("calls", sampled([0, 3, AHEAD - 1, AHEAD], [3, AHEAD]))
@pytest.mark.parametrize("way", sampled([pickled, copy.copy, copy.deepcopy], [pickled, copy.deepcopy]))
def test_copies_and_pickles_go_on_from_where_the_original_is(saved, way, calls):
    original = load_policy(saved, seed=7)
    for _ in range(calls):
        original(np.zeros(4))
    duplicate = way(original)
    assert (duplicate.facts, duplicate.seed) == (original.facts, 7)
    for mine, other in zip(continued(duplicate), continued(original), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_processes_that_are_spawned_get_the_policy(saved):
    policy = load_policy(saved, seed=3)
    policy(np.zeros(4))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (there,) = pool.map(continued, [policy])
    for mine, other in zip(there, continued(policy), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_a_loaded_policy_says_what_it_is(saved):
    assert repr(load_policy(saved, seed=3)) == (
        "LoadedPolicy(latent, kind 'one', observation 4, action 3, task 'some-task', seed 3)"
    )
    bare = LoadedPolicy(in_units(policies()["mean"], UNITS), {})
    assert repr(bare) == "LoadedPolicy(mean, kind 'centre', observation 4, action 3, seed 0)"


def test_what_a_seed_means_does_not_depend_on_the_process(saved):
    expected = load_policy(saved, seed=1)(np.zeros(4))
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(load_policy(saved, seed=1)(np.zeros(4)), expected)


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ("text", r"of 4 numbers, or n of them, found an array of <U4"),
        (["a"] * 4, "found an array of <U1"),
        ({"position": 3}, "found dict; dictionaries"),
        ([[1, 2], [1, 2, 3]], "found list"),
        (None, "found NoneType"),
        (np.zeros(4, complex), "found an array of complex128"),
        (np.zeros(5), r"of shape \(4,\) or \(n, 4\), found \(5,\)"),
        (np.zeros((2, 2, 4)), r"found \(2, 2, 4\)"),
        (3.0, r"found \(\)"),
        ([0, np.nan, 0, 0], "finite float32 observations, found nan as number 1"),
        ([[0] * 4, [0, 0, 0, np.inf]], "found inf as number 3 of row 1"),
        ([0, 0, 0, 1e300], "found 1e.300 as number 3"),
    ],
)
def test_observations_that_cannot_be_are_named(untyped, saved, observation, words):
    policy, fresh = load_policy(saved), load_policy(saved)
    with pytest.raises(ValueError, match=words):
        policy(observation)
    np.testing.assert_array_equal(policy(np.zeros(4)), fresh(np.zeros(4)))


@pytest.mark.parametrize("kind", ["f8", "i4", "?", "f2", ">f4", "list", "jax"])
def test_observations_of_every_type_of_number_are_taken(saved, kind):
    observation = np.array([1, 0, 1, 1], np.float32)
    others = {"list": observation.tolist(), "jax": jnp.asarray(observation, jnp.bfloat16)}
    given = others[kind] if kind in others else observation.astype(kind)
    np.testing.assert_array_equal(load_policy(saved)(given), load_policy(saved)(observation))


@hypothesis.given(st.floats(-1e30, 1e30), st.floats(1e-3, 1e30))
def test_bounds_are_rounded_inwards(low, width):
    low64, high64 = np.array([low]), np.array([low + width])
    lower, upper = inward(low64, high64)
    assert lower.dtype == upper.dtype == np.float32
    assert low64 <= lower.astype(np.float64)
    assert upper.astype(np.float64) <= high64
    assert np.nextafter(lower, np.float32(-np.inf)).astype(np.float64) < low64
    assert np.nextafter(upper, np.float32(np.inf)).astype(np.float64) > high64


BOUNDED = [
    (name, kind) for name in ("latent", "normal", "flow", "shortcut", "steered", "mean") for kind in POLICY_KINDS
]


@pytest.mark.parametrize(
    ("name", "kind"), sampled(BOUNDED, [case for case in BOUNDED if case[0] == "latent" or case[1] == "one"])
)
def test_actions_keep_to_bounds_that_are_no_float32_numbers(tmp_path, name, kind):
    loud = jax.tree.map(lambda weight: 30 * weight + 0.3, policies()[name])
    columns = {"observations": np.zeros((2, 4)), "actions": np.zeros((2, 3)), "rewards": np.zeros(2)}
    columns |= {"terminated": np.zeros(2, bool), "next_observations": np.zeros((2, 4))}
    log = log_of_tuples(columns, "here")
    log = dataclasses.replace(log, action_low=UNITS.action_low, action_high=UNITS.action_high)
    for units in (UNITS, units_of(log)):
        save_policy(in_units(loud, units), tmp_path / "p")
        observations = np.random.default_rng(0).normal(size=(64, 4))
        actions = load_policy(tmp_path / "p", kind=kind)(observations).astype(np.float64)
        assert (actions >= UNITS.action_low).all()
        assert (actions <= UNITS.action_high).all()
        at = np.isclose(actions, UNITS.action_low, atol=1e-6) | np.isclose(actions, UNITS.action_high, atol=1e-6)
        assert at.any(), "else this shows nothing"


def test_nothing_is_unpickled():
    root = Path(drol.__file__).parent
    for path in root.rglob("*.py"):
        assert re.search(r"pickle\.loads?\(|allow_pickle=True|\bimport pickle", path.read_text()) is None, path
