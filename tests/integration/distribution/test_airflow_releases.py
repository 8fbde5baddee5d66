"""The built wheel with `[airflow]` beside each supported release of Airflow, and at the lowest versions that it allows."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_releases import RELEASES, file_of
from basecamp.dev.airflow_environment import interpreter_for, uv
from basecamp.dev.release_lines import ReleaseLine
from inside_airflow import run_airflow_side
from integration.distribution.conftest import Built, Environment
from lines_here import LINES_HERE
from stacks import REPOSITORY

pytestmark = pytest.mark.xdist_group("distribution")

RELEASES_HERE = {
    release: line for release in RELEASES for line in LINES_HERE.values() if release.startswith(line.name)
}
OLDEST = {"2.11": "2.11.0", "3.3": "3.3.0"}
PARSED_BY = {"2.11": "test_dag_files.py", "3.3": "test_bundle.py"}
"""Tests that have Airflow of a line parse the DAGs of a store."""
BOUND = re.compile(r"(?P<name>[a-z0-9-]+)(\[\w+\])?>=(?P<version>[\d.]+)")


@pytest.mark.rule("29.3")
@pytest.mark.parametrize("release", RELEASES_HERE)
def test_the_wheel_can_be_installed_under_the_constraints_of_a_release(built: Built, release: str) -> None:
    wanted = f"{built.wheel}[airflow]\napache-airflow=={release}"
    found = resolve(release, "--constraint", str(file_of(release)), "-", stdin=wanted)
    assert f"apache-airflow=={release}" in found


@pytest.mark.rule("29.3")
@pytest.mark.parametrize("line", LINES_HERE.values(), ids=LINES_HERE)
def test_the_oldest_release_of_a_line_finds_the_package_and_parses_datasets(
    built: Built, line: ReleaseLine, new_environment: Callable[..., Environment], tmp_path: Path
) -> None:
    environment = new_environment(interpreter_for(line).program)
    release = OLDEST[line.name]
    wanted = (f"{built.wheel}[airflow]", f"apache-airflow=={release}")
    environment.install("--constraint", file_of(release), *wanted)
    assert environment.run("dli", "version") == "dli 0.1.0 (dli-basecamp)\n"
    run_airflow_side(environment.python, tmp_path, "test_installation.py", PARSED_BY[line.name])


if "2.11" in LINES_HERE:  # not a skip, which CI does not allow: the session's header says what is left out

    @pytest.mark.rule("29.4")
    def test_datasets_run_with_the_lowest_versions_that_are_allowed(
        built: Built, new_environment: Callable[..., Environment], tmp_path: Path
    ) -> None:
        environment = new_environment(interpreter_for(LINES_HERE["2.11"]).program)
        (tmp_path / "floors.txt").write_text(floors(tmp_path))
        wanted = (f"{built.wheel}[airflow]", f"apache-airflow=={OLDEST['2.11']}")
        environment.install("--constraint", tmp_path / "floors.txt", *wanted)
        assert environment.run("dli", "version") == "dli 0.1.0 (dli-basecamp)\n"
        run_airflow_side(environment.python, tmp_path, "test_installation.py", "test_operator.py")


def floors(folder: Path) -> str:
    """Return every package that `[airflow]` asks for at its lowest version, beside the oldest Airflow as released.

    obstore alone is newer than that Airflow, whose constraints don't name it.
    """
    (folder / "airflow.in").write_text(f"apache-airflow=={OLDEST['2.11']}\n")
    days = [
        "--exclude-newer",
        RELEASES[OLDEST["2.11"]],
        "--exclude-newer-package",
        f"obstore={RELEASES['3.3.0']}",
    ]
    lowest = ["--extra", "airflow", "--resolution", "lowest-direct", *days]
    found = resolve(OLDEST["2.11"], str(REPOSITORY / "pyproject.toml"), str(folder / "airflow.in"), *lowest)
    pinned = dict(line.split("==") for line in found.splitlines())
    assert {name: pinned[name] for name in lower_bounds()} == lower_bounds()
    return found


def lower_bounds() -> dict[str, str]:
    """Return the versions from which on `[airflow]` takes each package."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    bounds = [BOUND.match(need) for need in (*project["dependencies"], *extras["airflow"], *extras["s3"])]
    return {bound["name"]: bound["version"] for bound in bounds if bound}


def resolve(release: str, *arguments: str, stdin: str = "") -> str:
    """Return the pinned requirements that uv finds for a release's Python."""
    python = interpreter_for(RELEASES_HERE[release]).program
    command = [
        uv(),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python",
        python,
        *arguments,
    ]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
