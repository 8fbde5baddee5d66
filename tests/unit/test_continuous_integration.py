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


def exit_status(folder: Path, source: str, **environ: str) -> int:
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
        "--rootdir",
        str(folder),
        str(folder),
    ]
    done = subprocess.run(command, env={**inherited, **environ}, capture_output=True, text=True, check=False)
    return done.returncode


@pytest.mark.parametrize("source", [SKIPPED, WHOLE_FILE])
def test_a_skipped_test_fails_in_ci(tmp_path: Path, source: str) -> None:
    assert exit_status(tmp_path, source, CI="true") not in {0, 5}


@pytest.mark.parametrize(("source", "status"), [(SKIPPED, 0), (WHOLE_FILE, 5)])
def test_a_skipped_test_is_none_elsewhere(tmp_path: Path, source: str, status: int) -> None:
    assert exit_status(tmp_path, source) == status


def test_a_test_that_fails_as_expected_is_no_skip(tmp_path: Path) -> None:
    assert exit_status(tmp_path, EXPECTED, CI="true") == 0
