"""What holds for every source of data sets, and for the public functions over all of them."""

import pkgutil

import numpy as np
import pytest

import drol
from drol.environments.spec import GYMNASIUM, EnvironmentSpec
from drol.errors import DataError
from drol.presets import SIZES
from drol.sources import OWN, PUBLISHED, SOURCES, environment_of_record, parse_task, source_of
from drol.sources.registry import D4RL
from tests.helpers.own_logs import walk

EXAMPLES = (
    "minari:D4RL/pen/human-v2",
    "pen-human-v1",
    "scene-play-singletask-task2-v0",
    "online-ant",
    "Pendulum-v1",
    "log.npz",
)


@pytest.mark.parametrize(("name", "source"), list(zip(EXAMPLES, SOURCES, strict=True)))
def test_a_name_belongs_to_one_source(name, source):
    assert [other for other in SOURCES if other.claims(name)] == [source]
    assert source_of(name) is parse_task(name).source is source
    assert source.data_needs(name) or source is OWN or not source.has_data(name)
    assert "/" not in parse_task(name).label
    assert source.reward(name)(-1.0) == -1.0


def test_environments_without_data_say_so(tmp_path):
    for name in ("online-antball", "Pendulum-v1", "tests.helpers.toy_environment:DrolToy-v0"):
        task = parse_task(name)
        assert not task.source.has_data(name)
        assert task.environment is not None
        with pytest.raises(DataError, match="is an environment without data; learn in it with `drol finetune"):
            drol.load_data(name)
    assert parse_task("tests.helpers.toy_environment:DrolToy-v0").label == "DrolToy-v0"
    with pytest.raises(DataError, match="there is no environment 'NoSuchThing-v0'"):
        parse_task("NoSuchThing-v0", present=True)
    assert parse_task("ALE/Pong-v5").source.has_data("ALE/Pong-v5") is False


def test_no_module_is_imported_because_a_file_names_it_as_a_task():
    """Names in files are parsed without `present`."""
    with pytest.raises(DataError, match=r"there is no environment 'drol_evil:Foo-v0' .there is no module"):
        parse_task("drol_evil:Foo-v0", present=True)
    assert parse_task("drol_evil:Foo-v0").environment == EnvironmentSpec("drol_evil:Foo-v0")


def test_antmaze_of_d4rl_earns_one_less_than_its_environment_gives():
    """As its data do."""
    assert parse_task("antmaze-large-play-v2").source.reward("antmaze-large-play-v2")(1.0) == 0.0


@pytest.mark.parametrize(("name", "source"), list(zip(EXAMPLES[:4], PUBLISHED, strict=True)))
def test_an_environment_survives_its_record_and_has_a_factory_of_ours(name, source):
    spec = parse_task(name).environment
    assert environment_of_record(spec.as_record()) == spec
    assert [other for other in PUBLISHED if other.makes(spec)] == [source]
    assert spec.factory.startswith("drol.")
    assert callable(pkgutil.resolve_name(spec.factory))


def test_a_record_names_no_factory():
    record = EnvironmentSpec("Pendulum-v1").as_record()
    assert set(record) == {"id", "kind", "options"}
    assert environment_of_record(record | {"factory": "os:system"}).factory == GYMNASIUM
    with pytest.raises(DataError, match="a 'kind' \\(one of gymnasium, d4rl, minari, ogbench-online\\)"):
        environment_of_record(record | {"kind": "os:system"})


@pytest.mark.parametrize("source", SOURCES)
def test_the_published_number_of_updates_is_d4rls_own_on_its_tasks(source):
    size = SIZES["paper"]
    assert source.updates(size) == (500_000 if source is D4RL else 1_000_000)


def test_data_are_loaded_by_name_from_python(tmp_path):
    np.savez(tmp_path / "log.npz", **walk())
    width = walk()["actions"].shape[1]
    data = drol.load_data(tmp_path / "log.npz", bounds=(np.full(width, -3.0), np.full(width, 3.0)))
    assert len(data.train.rewards) == len(walk()["rewards"])
    np.testing.assert_array_equal(data.units.action_low, np.full(width, -3))
    with pytest.raises(DataError, match="does not exist"):
        drol.load_data(tmp_path / "other.npz")
    with pytest.raises(DataError, match="another file or damaged"):
        drol.load_data(tmp_path / "log.npz", sha256="0" * 64)
    with pytest.raises(DataError, match="a SHA-256 applies to a single file"):
        drol.load_data(tmp_path, sha256="0" * 64)


def test_an_environment_is_made_by_name_from_python():
    env = drol.environment("CartPole-v1").make()
    assert env.observation_space.shape == (4,)
    with pytest.raises(DataError, match="names no environment"):
        drol.environment("none")
