"""The GitHub Action (action.yml) and the workflows: their steps run here, and hold no secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = [*WORKFLOWS, ROOT / "action.yml"]
INPUT = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")
PINNED = re.compile(r"(\./|[\w.-]+/[\w.-]+@[0-9a-f]{40})")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


class Action:
    """Runs the steps of action.yml that are shell, with the programs of this environment."""

    def __init__(self, folder: Path) -> None:
        self.described = read(ROOT / "action.yml")
        programs = folder / "runner" / "dli-basecamp" / "bin"
        programs.mkdir(parents=True)
        (programs / "dli").symlink_to(Path(sys.executable).parent / "dli")
        self.environ = {**os.environ, "RUNNER_TEMP": str(folder / "runner"), "HOME": str(folder)}

    def run(self, name: str, **given: str) -> subprocess.CompletedProcess[str]:
        [step] = [step for step in self.described["runs"]["steps"] if step.get("name") == name]
        inputs = {key: str(described["default"]) for key, described in self.described["inputs"].items()}
        inputs |= {key.replace("_", "-"): value for key, value in given.items()}
        environ = {
            key: INPUT.sub(lambda found: inputs[found[1]], value) for key, value in step["env"].items()
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            command, env=self.environ | environ, cwd=ROOT, capture_output=True, text=True, check=False
        )


@pytest.fixture
def action(tmp_path: Path) -> Action:
    return Action(tmp_path)


@pytest.mark.rule("29.6")
def test_the_action_validates_shows_and_publishes_a_project(action: Action, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    given = {"path": "examples/flights", "store_url": str(store)}
    assert action.run("Validate", **given).returncode == 0
    shown = action.run("Publish", publish="dry-run", **given)
    assert (shown.returncode, list(store.iterdir())) == (0, [])
    assert "Nothing was written." in shown.stdout
    assert action.run("Publish", publish="true", **given).returncode == 0
    assert list((store / "code").glob("*.yaml"))


@pytest.mark.rule("29.6")
def test_the_action_fails_for_a_broken_spec_and_for_a_publish_that_is_none(
    action: Action, tmp_path: Path
) -> None:
    spec = tmp_path / "datasets" / "a.yaml"
    spec.parent.mkdir()
    spec.write_text("type: Dataset\nname: a\n")
    broken = action.run("Validate", path=str(tmp_path))
    assert (broken.returncode, "::error file=" in broken.stdout) == (2, True)
    refused = action.run("Publish", publish="yes", path="examples/flights")
    assert (refused.returncode, "Write true, false or dry-run." in refused.stderr) == (2, True)


@pytest.mark.rule("29.6")
def test_an_input_of_the_action_is_never_part_of_a_script(action: Action) -> None:
    steps = [step for step in action.described["runs"]["steps"] if "run" in step]
    assert not [step["name"] for step in steps if "${{" in step["run"]]


@pytest.mark.rule("29.5")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_holds_no_secret_and_pins_each_action_by_its_commit(path: Path) -> None:
    text = path.read_text()
    assert "secrets." not in text
    used = re.findall(r"uses: (\S+)", text)
    assert [name for name in used if not PINNED.fullmatch(name)] == []
    assert path.parent == ROOT or read(path)["permissions"] == {}


@pytest.mark.rule("29.5")
def test_a_release_is_built_once_tested_and_published_with_attestations() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert (jobs["test"]["needs"], jobs["publish"]["needs"]) == ("build", "test")
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert [name for name, job in jobs.items() if "id-token" in job["permissions"]] == ["publish"]
    downloaded, published = jobs["publish"]["steps"]
    assert downloaded["with"] == {"name": "dist", "path": "dist"}
    assert published["with"] == {"attestations": True}


@pytest.mark.rule("29.5")
def test_a_release_is_refused_for_a_tag_that_is_not_the_version_or_another_repository(tmp_path: Path) -> None:
    steps = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["build"]["steps"]
    [check] = [step["run"] for step in steps if step.get("name", "").startswith("Check that the tag")]
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())

    def refused(**environ: str) -> bool:
        given = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "OWNER/dli"} | environ
        command = ["bash", "-e", "-c", check]
        return subprocess.run(command, cwd=tmp_path, env=os.environ | given, check=False).returncode != 0

    assert not refused(GITHUB_REF_NAME="v0.1.0")
    assert refused(GITHUB_REF_NAME="v0.1.1")
    assert refused(GITHUB_REF_NAME="v0.1.0", GITHUB_REPOSITORY="other/dli")


@pytest.mark.rule("29.5")
def test_each_target_that_a_workflow_makes_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {name for path in WORKFLOWS for name in re.findall(r"run: make ([a-z-]+)", path.read_text())}
    assert {"audit", "dist"} <= made <= targets
