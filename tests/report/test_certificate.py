"""Certificates: what they hold, that they verify, and that every tampering is noticed."""

import json
import re
import shutil

import numpy as np
import pytest
from scipy import stats

import drol
from drol import RunConfig
from drol.cli.main import main
from drol.errors import DataError
from drol.report import certificate as certificates
from drol.report import verification
from drol.report.certificate import digest, expected_seed, read_certificate
from drol.report.verification import _return_test, _success_test
from tests.helpers.toy_logs import ENVIRONMENT, write_log

EPISODES = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with four evaluations of twelve episodes, certified."""
    folder = tmp_path_factory.mktemp("certified")
    write_log(folder / "robot.npz")
    config = RunConfig(
        task=str(folder / "robot.npz"),
        env=ENVIRONMENT,
        updates=40,
        eval_every=10,
        eval_episodes=EPISODES,
        workers=1,
        hyperparameters={"hidden": (8,)},
        out=folder / "run",
    )
    drol.train(config, progress=False)
    drol.certify(folder / "run")
    return folder / "run"


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def verify(folder, **options):
    spec = drol.environment(ENVIRONMENT)
    return drol.verify(folder / certificates.NAME, environment=spec, workers=1, **options)


def edit(folder, change, *, rehash=True):
    """Change a certificate, like someone who knows how its checksum is made."""
    path = folder / certificates.NAME
    content = json.loads(path.read_text())
    change(content)
    if rehash:
        content["sha256"] = digest(content)
    path.write_text(json.dumps(content))


def test_a_certificate_binds_the_score_to_its_evidence(run):
    content = json.loads((run / certificates.NAME).read_text())
    claim = content["claim"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluated = [line for line in lines if "evaluation/success" in line]
    assert claim["updates"] == [20, 30, 40]
    assert claim["score"] == pytest.approx(np.mean([line["evaluation/success"] for line in evaluated[-3:]]))
    assert claim["episodes"] == 3 * EPISODES
    assert [line["update"] for line in content["evaluations"]] == [10, 20, 30, 40]
    assert len(content["episodes"]) == 4 * EPISODES
    assert {"config.json", "metrics.jsonl", "evaluations.jsonl", "policies/20/policy.json"} <= set(content["files"])
    assert sum(name.endswith(".safetensors") for name in content["files"]) == 3
    assert content["configuration"]["data"]["files"][0]["sha256"]
    assert content["machine"]["versions"]["jax"]
    assert content["protocol"]["planned_updates"] == content["protocol"]["done_updates"] == 40
    assert content["proves"]
    assert content["cannot_prove"]


def test_it_verifies_on_the_spot(run):
    found = verify(run)
    assert (found.verdict, found.contradictions, found.notes) == ("identical", (), ())
    assert (found.episodes, found.repeated) == (3 * EPISODES, 3 * EPISODES)
    assert (found.success_test, found.return_test) == (1.0, 1.0)
    assert verify(run, episodes=2).episodes == 6


def test_it_can_be_kept_elsewhere(run, tmp_path):
    drol.certify(run, tmp_path / "elsewhere.json")
    found = drol.verify(tmp_path / "elsewhere.json", run=run, episodes=0)
    assert (found.verdict, found.episodes) == ("consistent", 0)
    with pytest.raises(DataError, match="holds no run; name the folder of the certified run"):
        drol.verify(tmp_path / "elsewhere.json")


def seeds(content, number, seed):
    content["episodes"][number][2] = seed


def skip(content):
    """Leave an episode out and put the next one of the same evaluation in its place."""
    row = content["episodes"][-2]
    row[1:3] = [EPISODES, expected_seed(0, 40, EPISODES)]


def drop_evaluation(content):
    content["evaluations"] = [line for line in content["evaluations"] if line["update"] != 30]
    content["episodes"] = [row for row in content["episodes"] if row[0] != 30]
    content["claim"] |= {"updates": [10, 20, 40]}


def shorten(content):
    content["protocol"] |= {"done_updates": 30}
    content["evaluations"] = content["evaluations"][:-1]
    content["episodes"] = [row for row in content["episodes"] if row[0] != 40]


def plan_less(content):
    shorten(content)
    content["protocol"] |= {"planned_updates": 30}


def raise_score(content):
    content["claim"]["score"] += 0.05


def edit_episode(content):
    row = content["episodes"][-1]
    row[4] += 5.0


def edit_episode_and_mean(content):
    edit_episode(content)
    content["evaluations"][-1]["return"] += 5.0 / EPISODES


def other_claim(content):
    content["claim"]["updates"] = [10, 30, 40]


def other_seed(content):
    content["claim"]["seed"] = 1


def fewer_episodes(content):
    content["episodes"] = content["episodes"][:-1]


def outside(content):
    content["files"]["../robot.npz"] = "0" * 64


def no_sum(content):
    del content["files"]["policies/30/policy.json"]


def twice(content):
    content["evaluations"].append(content["evaluations"][-1])


TAMPERED = {
    skip: "one was skipped or repeated",
    lambda content: seeds(content, -1, 12345): "one was skipped or repeated",
    lambda content: seeds(content, -1, content["episodes"][-2][2]): "one was skipped or repeated",
    drop_evaluation: "evaluation at update 30 is left out",
    shorten: "ended at update 30, but 40 were planned",
    plan_less: "planned updates and evaluations are not those of the configuration",
    raise_score: "score is said to be",
    edit_episode: "mean return of",
    edit_episode_and_mean: "other evaluations than the certificate",
    other_claim: r"at updates \[20, 30, 40\], but the score is said to be of \[10, 30, 40\]",
    other_seed: "seed is said to be 1",
    fewer_episodes: "but 11 are listed",
    outside: "outside the run's folder",
    no_sum: "no checksum of policies/30/policy.json",
    twice: "listed twice, or out of order",
}


@pytest.mark.parametrize("change", TAMPERED, ids=lambda change: change.__name__.strip("<>"))
def test_tampering_is_noticed(copy, change):
    edit(copy, change)
    found = verify(copy, episodes=0)
    assert found.verdict == "contradicted"
    assert any(re.search(TAMPERED[change], said) for said in found.contradictions), found.contradictions


def test_an_edit_without_a_new_checksum_is_noticed(copy):
    edit(copy, lambda content: content["machine"]["versions"].update(drol="9"), rehash=False)
    found = verify(copy, episodes=0)
    assert found.contradictions[0].startswith("the certificate's own checksum does not match")


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "evaluations.jsonl", "policies/20/policy.json", "policies/40/arrays"]
)
def test_a_changed_byte_of_any_file_is_noticed(copy, name):
    (path,) = [path for path in copy.rglob("*") if path.is_file() and str(path.relative_to(copy)).startswith(name)]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = verify(copy)
    assert found.verdict == "contradicted"
    assert f"{path} was changed" in " ".join(found.contradictions)
    path.unlink()
    assert f"{path} is missing" in " ".join(verify(copy).contradictions)


def sum_anew(content, folder):
    for name in content["files"]:
        content["files"][name] = certificates.sha256(folder / name)


def test_episodes_edited_everywhere_are_noticed_by_rolling_out(copy):
    """Records, means, sums: all are changed alike. Only the policies still know."""

    def change(content):
        lines = [json.loads(line) for line in (copy / "evaluations.jsonl").read_text().splitlines()]
        lines[-1]["return"] += 5.0
        (copy / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        metrics = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
        metrics[-1]["evaluation/return"] += 5.0 / EPISODES
        (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
        edit_episode_and_mean(content)
        sum_anew(content, copy)

    edit(copy, change)
    assert verify(copy, episodes=0).verdict == "consistent"
    found = verify(copy)
    assert found.verdict == "contradicted"
    assert "1 episode of 36 differ, although processor and versions are those of the run" in found.contradictions[0]
    assert f"first episode {EPISODES - 1} of update 40" in found.contradictions[0]


def elsewhere(content):
    content["machine"]["processor"] = "another"


def test_on_another_processor_chance_is_allowed_for(copy):
    """One episode of 36 that differs is no contradiction there; other returns throughout are."""

    def change(content, by, count):
        elsewhere(content)
        for name, key in (("evaluations.jsonl", "return"), ("metrics.jsonl", "evaluation/return")):
            lines = [json.loads(line) for line in (copy / name).read_text().splitlines()]
            for line in lines if name.startswith("metrics") else lines[-count:]:
                if key in line and (name.startswith("eval") or line["update"] == 40):
                    line[key] += by if name.startswith("eval") else by * count / EPISODES
            (copy / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        for row in content["episodes"][-count:]:
            row[4] += by
        content["evaluations"][-1]["return"] += by * count / EPISODES
        sum_anew(content, copy)

    edit(copy, lambda content: change(content, 1.0, 1))
    found = verify(copy)
    assert found.verdict == "consistent", found
    assert found.repeated == 35
    assert found.notes == ("another processor: single episodes may differ, since rounding does",)
    assert 0.001 < found.return_test <= 1
    edit(copy, lambda content: change(content, 3.0, EPISODES))
    found = verify(copy)
    assert found.verdict == "contradicted"
    assert "returns of the same episodes differ more than chance explains" in found.contradictions[0]


def test_another_version_of_the_environment_is_noticed(copy, monkeypatch):
    here = verification.machine()
    newer = here | {"versions": here["versions"] | {"gymnasium": "99.0"}}
    monkeypatch.setattr(verification, "machine", lambda: newer)
    found = verify(copy)
    assert found.verdict == "contradicted"
    assert found.episodes == 0
    assert found.contradictions[0].startswith("another environment: gymnasium was")
    assert found.contradictions[0].endswith("is 99.0 here")
    without = here | {"versions": here["versions"] | {"gymnasium": None}}
    monkeypatch.setattr(verification, "machine", lambda: without)
    assert "is not installed here" in verify(copy).contradictions[0]


def test_an_environment_that_describes_itself_otherwise_is_noticed(run):
    spec = drol.environment("tests.helpers.toy_environment:DrolToyScored-v0")
    found = drol.verify(run / certificates.NAME, environment=spec, workers=1)
    assert found.contradictions[0].startswith("another environment: its id was DrolToyScaled-v0")


def test_other_versions_are_notes(copy, monkeypatch):
    here = verification.machine()
    newer = here | {"versions": here["versions"] | {"jax": "99.0"}, "device": {"kind": "gpu"}}
    monkeypatch.setattr(verification, "machine", lambda: newer)
    found = verify(copy, episodes=1)
    assert found.verdict == "identical"
    assert any(note.startswith("other versions: jax") for note in found.notes)
    assert any(note.startswith("another device") for note in found.notes)


def pairs(then, now, name="success"):
    return [({name: a}, {name: b}) for a, b in zip(then, now, strict=True)]


def test_the_tests_of_difference():
    assert _success_test(pairs([True] * 20, [True] * 20)) == 1.0
    eleven = pairs([True] * 20, [False] * 11 + [True] * 9)
    assert _success_test(eleven) == pytest.approx(stats.binomtest(11, 11).pvalue)
    assert _success_test(eleven) < verification.LEVEL
    assert _success_test(eleven[1:]) > verification.LEVEL  # ten in one direction are too few
    assert _success_test(pairs([None], [None])) is None
    rng = np.random.default_rng(0)
    before = rng.normal(size=40)
    assert _return_test(pairs(before.tolist(), (before + 1).tolist(), "return")) < verification.LEVEL
    noisy = (before + rng.normal(size=40)).tolist()
    assert _return_test(pairs(before.tolist(), noisy, "return")) > verification.LEVEL
    # Few enough for all sign changes to be tried: 2 of 2^5 are as extreme.
    assert _return_test(pairs([0.0] * 5, [1.0] * 5, "return")) == pytest.approx(2 / 2**5)


def test_runs_that_cannot_be_certified_are_refused(copy):
    shutil.rmtree(copy / "policies" / "30")
    with pytest.raises(DataError, match="does not hold the policy of its evaluation at update 30"):
        drol.certify(copy)
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match="unfinished at update 30 of 40; only finished runs"):
        drol.certify(copy)
    (copy / "diverged.json").write_text('{"message": "NaN"}')
    with pytest.raises(DataError, match="diverged at update"):
        drol.certify(copy)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "not a certificate"),
        ({"format": "drol-certificate", "version": 2}, "certificate of version 2; this is version 1"),
        ({"format": "drol-certificate", "version": 1}, "'claim' is missing"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path, content, said):
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        read_certificate(path)


@pytest.mark.parametrize("part", ["claim", "protocol", "files", "machine", "configuration", "evaluations", "episodes"])
@pytest.mark.parametrize("value", [None, 3, "x", [1], {"a": 1}, [[1, 2]], [{"update": "x"}]])
def test_a_malformed_certificate_is_one_message(copy, part, value):
    edit(copy, lambda content: content.update({part: value}))
    with pytest.raises(DataError, match="not a complete certificate"):
        verify(copy)


def test_the_commands(run, tmp_path, capsys):
    path = tmp_path / "certificate.json"
    assert main(["certify", str(run), "--out", str(path)]) == 0
    said = capsys.readouterr().out
    assert "mean of the evaluations at updates 20, 30, 40 (36 episodes)" in said
    assert f"drol verify {path}" in said
    command = ["verify", str(path), "--run", str(run), "--env", ENVIRONMENT, "--workers", "1", "--episodes", "2"]
    assert main([*command, "--json", str(tmp_path / "found.json")]) == 0
    said = capsys.readouterr().out
    assert "6 episodes rolled out again, 6 identical (success p = 1, returns p = 1)" in said
    assert "identical: every episode repeats bit for bit" in said
    assert "It cannot show that the policies were trained on the data" in said
    assert json.loads((tmp_path / "found.json").read_text())["verdict"] == "identical"
    assert main(["verify", str(path), "--run", str(run), "--episodes", "0"]) == 0
    said = capsys.readouterr().out
    assert "none rolled out again" in said
    assert "This shows" not in said
    assert main(["verify", str(path), "--run", str(run)]) == 1
    assert "name it yourself: add --env" in capsys.readouterr().err
    content = json.loads(path.read_text())
    content["claim"]["score"] = 1.0
    path.write_text(json.dumps(content))
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "contradiction: the certificate's own checksum" in said
    assert "contradicted: the certificate does not hold" in said
    assert "This shows" not in said


def test_two_certificates_are_compared(run, copy, capsys):
    edit(copy, lambda content: content["configuration"]["hyperparameters"].update(bc_coef=7.0))
    one, other = str(run / certificates.NAME), str(copy / certificates.NAME)
    assert main(["certify", "--diff", one, other]) == 0
    said = capsys.readouterr().out
    assert "configuration.hyperparameters.bc_coef" in said
    assert "has probability 1 by chance" in said
    assert main(["certify", "--diff", one, one]) == 0
    assert "nothing differs" in capsys.readouterr().out
    assert main(["certify"]) == 2
    assert "--diff A B" in capsys.readouterr().err
