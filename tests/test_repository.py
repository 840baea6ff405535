"""The files that hosts of repositories, citation tools and contributors read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from proofs_checks.mutants import MUTANTS

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
if not (ROOT / ".ci" / "run").is_file():
    pytest.skip("these files are in the repository, not in the source archive", allow_module_level=True)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def loaded(path):
    return yaml.safe_load(path.read_text())


def test_the_licence_is_the_one_that_is_declared():
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:6] == ["Apache", "License", "Version", "2.0,", "January", "2004"]
    assert text.rstrip().endswith("limitations under the License.")
    assert PROJECT["license"] == loaded(ROOT / "CITATION.cff")["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]


def test_types_are_declared_and_shipped():
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert (ROOT / "src" / "drol" / "py.typed").is_file()


def test_the_citation_is_that_of_the_readme():
    citation = loaded(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", PROJECT["version"])
    assert citation["authors"] == PROJECT["authors"]
    paper, readme = citation["preferred-citation"], (ROOT / "README.md").read_text()
    assert {"type", "title", "authors"} <= set(paper)
    assert f"title = {{{paper['title']}}}" in readme
    assert f"year  = {{{paper['year']}}}" in readme
    assert f"url   = {{{paper['url']}}}" in readme


def test_contributors_are_pointed_to_what_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`((?:src|tests|examples|proofs_checks|\.ci)/[\w./]*)`", text))
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_ask_for_something(path):
    form = loaded(path)
    assert set(form) == {"name", "description", "labels", "body"}
    assert len({item["id"] for item in form["body"]}) == len(form["body"])
    assert all(item["attributes"]["label"] for item in form["body"])
    assert any(item.get("validations", {}).get("required") for item in form["body"])
    options = [option for item in form["body"] for option in item["attributes"].get("options", [])]
    assert all(isinstance(option, str) for option in options), "YAML reads a bare Yes as a truth value"


def test_there_are_forms_for_bugs_features_and_questions():
    assert [path.stem for path in FORMS] == ["bug", "feature", "question"]
    assert loaded(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": True}
    assert ".ci/run" in (GITHUB / "PULL_REQUEST_TEMPLATE.md").read_text()


def test_the_workflow_runs_everything_and_every_tested_python():
    workflow = loaded(GITHUB / "workflows" / "ci.yml")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    everything, tests = workflow["jobs"]["everything"], workflow["jobs"]["tests"]
    assert everything["steps"][-1] == {"run": ".ci/run"}
    assert tests["steps"][-1]["run"].startswith(".ci/test-command")
    classifiers = [re.search(r"Python :: (3\.\d+)$", name) for name in PROJECT["classifiers"]]
    versions = [everything["steps"][1]["with"]["python-version"], *tests["strategy"]["matrix"]["python"]]
    assert versions == [found[1] for found in classifiers if found]
    used = [step["uses"] for job in (everything, tests) for step in job["steps"] if "uses" in step]
    assert len(used) == 4
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)
    assert all("timeout-minutes" in job for job in (everything, tests))


@pytest.mark.parametrize("script", ["run", "newest", "test-command"])
def test_what_the_workflow_starts_can_be_started(script):
    assert (ROOT / ".ci" / script).stat().st_mode & 0o111


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_defect_of_the_mutation_suite_can_be_made(mutant):
    """The line to break still occurs exactly once; a stale table would prove nothing."""
    assert (ROOT / "src" / "drol" / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old
