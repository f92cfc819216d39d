"""What is stored for packaging agrees: pyproject.toml, workflows, conda recipe, citation, licences."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import fastrnn

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def classified(pattern: str) -> list[str]:
    matches = [re.fullmatch(pattern, classifier) for classifier in PROJECT["classifiers"]]
    return [match[1] for match in matches if match]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("CITATION.cff", r"^version: (\S+)$"), ("conda/recipe.yaml", r'^  version: "([^"]+)"')],
)
def test_a_file_that_repeats_the_version_has_the_right_one(name, pattern):
    assert re.findall(pattern, text(name), re.MULTILINE) == [fastrnn.__version__]


@pytest.mark.parametrize("name", ["CITATION.cff", "conda/recipe.yaml"])
def test_a_file_that_repeats_the_description_has_the_same(name):
    assert PROJECT["description"] in text(name)


def test_the_classified_pythons_begin_with_the_one_required_and_have_no_gap():
    minors = [int(minor) for minor in classified(r"Programming Language :: Python :: 3\.(\d+)")]
    assert PROJECT["requires-python"] == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_every_classified_python_has_a_wheel():
    minors = classified(r"Programming Language :: Python :: 3\.(\d+)")
    tags = PYPROJECT["tool"]["cibuildwheel"]["build"]
    assert [f"cp3{minor}-*" for minor in minors] == [tag for tag in tags if "t-" not in tag]


def test_what_is_built_for_others_holds_every_instruction_set():
    settings = PYPROJECT["tool"]["cibuildwheel"]["config-settings"]
    assert settings["cmake.define.FASTRNN_ISAS"] == "all"
    assert "-C cmake.define.FASTRNN_ISAS=all" in text("conda/recipe.yaml")


def test_every_classified_python_is_tested():
    (workflow,) = (path for path in WORKFLOWS if path.stem == "tests")
    tested = set(re.findall(r'"(3\.\d+)"', workflow.read_text(encoding="utf-8")))
    assert tested == set(classified(r"Programming Language :: Python :: (3\.\d+)"))


def test_the_free_threaded_wheels_have_a_classifier_that_says_so():
    free_threaded = [tag for tag in PYPROJECT["tool"]["cibuildwheel"]["build"] if "t-" in tag]
    assert free_threaded
    assert classified(r"Programming Language :: Python :: (Free Threading) :: .*")


def test_every_licence_of_the_expression_has_its_text():
    texts = " ".join(path.name for path in (ROOT / "LICENSES").iterdir())
    licences = PROJECT["license"].split(" AND ")
    assert licences[0] == "Apache-2.0"
    assert "Apache License" in text("LICENSE")
    assert [licence for licence in licences[1:] if licence not in texts] == []
    assert PROJECT["license-files"] == ["LICENSE", "LICENSES/*"]
    assert f"license: {PROJECT['license']}" in text("conda/recipe.yaml")


def test_the_conda_package_needs_what_the_wheel_needs():
    run = text("conda/recipe.yaml").partition("  run:\n")[2].partition("\n\n")[0]
    listed = [line.strip("- ").replace(" ", "") for line in run.splitlines()]
    always = [name for name in PROJECT["dependencies"] if ";" not in name]
    assert sorted(line for line in listed if ":" not in line) == sorted(["python", *always])
    # A dependency of old Pythons alone is conditional there too.
    markers = [
        re.fullmatch(r"(.*); python_version < '(.*)'", name)
        for name in PROJECT["dependencies"]
        if ";" in name
    ]
    for name, version in (marker.groups() for marker in markers):
        assert f'if:match(python,"<{version}")' in listed
        assert f"then:{name}" in listed


def test_the_conda_package_is_built_with_what_the_wheel_is_built_with():
    host = text("conda/recipe.yaml").partition("  host:\n")[2].partition("  run:\n")[0].replace(" ", "")
    for requirement in PYPROJECT["build-system"]["requires"]:
        assert f"-{requirement.replace('cmeel-eigen', 'eigen')}\n" in host


def test_an_editor_of_the_code_gets_what_the_build_needs():
    assert set(PYPROJECT["build-system"]["requires"]) <= set(EXTRAS["dev"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_actions_at_a_commit_that_cannot_move(path):
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_nothing_but_what_a_job_asks_for(path):
    workflow = path.read_text(encoding="utf-8")
    assert "\npermissions: {}\n" in workflow
    assert set(re.findall(r"([\w-]+): write\b", workflow)) <= {"id-token", "pages"}
    assert workflow.count("actions/checkout@") == workflow.count("persist-credentials: false")
    assert workflow.count("runs-on:") == workflow.count("timeout-minutes:")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_yaml_with_jobs_that_have_steps(path):
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert all(job["steps"] for job in workflow["jobs"].values())


def test_one_action_has_one_version_in_all_workflows():
    used = {use for path in WORKFLOWS for use in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))}
    assert len(used) == len({use.partition("@")[0] for use in used})


def test_the_programs_that_the_workflows_run_are_here():
    for path in WORKFLOWS:
        for program in re.findall(r"bash (\.ci/[\w-]+)", path.read_text(encoding="utf-8")):
            assert (ROOT / program).is_file(), program
