import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SKIPPED = """
import pytest

def test_that_is_skipped():
    pytest.skip("a program is missing")
"""
EXPECTED = """
import pytest

@pytest.mark.xfail(strict=True)
def test_that_fails_as_expected():
    assert False
"""
WHOLE_FILE = """
import pytest

pytest.skip("a program is missing", allow_module_level=True)
"""


RANDOM = """
import random
from hypothesis import given, strategies as st

def test_that_takes_what_comes():
    print("random:", random.random())

@given(st.integers())
def test_of_a_property(number):
    print("example:", number)
"""


def exit_status(folder: Path, source: str, **environ: str) -> int:
    return outcome(folder, source, **environ).returncode


def outcome(folder: Path, source: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "test_it.py").write_text(source)
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        f"pythonpath={TESTS}",
        "-p",
        "no:schemathesis",  # takes a second to load
        "--rootdir",
        str(folder),
        str(folder),
        *arguments,
    ]
    return subprocess.run(command, env={**inherited, **environ}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("source", [SKIPPED, WHOLE_FILE])
def test_a_skipped_test_fails_in_ci(tmp_path: Path, source: str) -> None:
    assert exit_status(tmp_path, source, CI="true") not in {0, 5}


@pytest.mark.parametrize(("source", "status"), [(SKIPPED, 0), (WHOLE_FILE, 5)])
def test_a_skipped_test_is_none_elsewhere(tmp_path: Path, source: str, status: int) -> None:
    assert exit_status(tmp_path, source) == status


def test_a_test_that_fails_as_expected_is_no_skip(tmp_path: Path) -> None:
    assert exit_status(tmp_path, EXPECTED, CI="true") == 0


def taken(folder: Path, *arguments: str) -> list[str]:
    """Return what came by chance in a session of tests, in its order."""
    done = outcome(folder, RANDOM, "-s", *arguments)
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith(("random:", "example:"))]


def test_each_session_takes_the_same_by_chance_and_exploring_takes_more_and_others_each_time(
    tmp_path: Path,
) -> None:
    """Examples and random numbers, in their order."""
    usual = taken(tmp_path)
    assert usual == taken(tmp_path)
    explore = "--hypothesis-profile=explore"
    first, second = taken(tmp_path, explore), taken(tmp_path, explore)
    assert first != second
    assert len(first) > 5 * len(usual)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose .venv is made of a Python that is called one; another, called other, is there as well."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(TESTS.parent / "Makefile", tmp_path)
    shutil.copy(TESTS.parent / ".ci" / "environment", tmp_path / ".ci")
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name, called in (("one", "one"), ("other", "other"), (".venv/bin/python", "one")):
        python = tmp_path / name
        python.write_text(f"""#!/bin/sh\ncase "$*" in *print*) echo {called} ;; esac\n""")
        python.chmod(0o755)
    (tmp_path / ".venv" / "installed").touch()
    return tmp_path


def is_made(clone: Path, *words: str, **environ: str) -> bool:
    """Say whether `make setup` would leave the .venv that is there."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHONS"))
    }
    command = ["make", "--question", "--directory", str(clone), "setup", *words]
    done = subprocess.run(command, env=inherited | environ, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 0


def test_setup_makes_the_environment_anew_with_the_python_that_is_named(clone: Path) -> None:
    one, other = str(clone / "one"), str(clone / "other")
    assert is_made(clone)
    assert is_made(clone, PYTHONS=one)
    assert is_made(clone, f"PYTHONS={one}")
    assert is_made(clone, PYTHONS=f"{clone / 'missing'} {one}")
    assert not is_made(clone, PYTHONS=other)
    assert not is_made(clone, f"PYTHONS={other}")
    assert not is_made(clone, PYTHONS=str(clone / "missing"))
