"""A full disk: a real, small one, which only the program under test sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unit.dli.specs import spec_of

IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
ON_A_FULL_DISK = """\
mount -t tmpfs -o size=64k none "$0" || exit 99
head -c 65536 /dev/zero > "$0/full"
"$@"
status=$?
echo FILES
ls -A "$0"
exit $status
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        tried = subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("only Linux lets a user mount a disk")
    if tried.returncode:
        pytest.skip("this machine does not let a user mount a disk")
    return folder


def dli_on(disk: Path, *arguments: str) -> tuple[int, str, set[str]]:
    """Run dli while the disk is full; return its status, its errors and the files that are on the disk then."""
    command = [
        *IN_A_NAMESPACE,
        "sh",
        "-c",
        ON_A_FULL_DISK,
        str(disk),
        sys.executable,
        "-m",
        "dli",
        *arguments,
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    files = finished.stdout.partition("FILES\n")[2].split()
    return finished.returncode, finished.stderr, set(files) - {"full"}


@pytest.mark.rule("20.20")
def test_a_new_project_is_created_whole_or_not_at_all(disk: Path) -> None:
    status, told, files = dli_on(disk, "init", str(disk))
    assert (status, told.splitlines()) == (
        1,
        [
            f"Error: {disk}/dli.yaml can't be used: No space left on device.",
            "       Make room on that disk, or choose another place.",
        ],
    )
    assert files == set()


@pytest.mark.rule("20.20")
@pytest.mark.usefixtures("disk")
def test_a_datasets_files_are_created_whole_or_not_at_all(project: Path) -> None:
    (project / "dli.yaml").write_text("datasets_dir: datasets\n")
    status, told, files = dli_on(project / "datasets", "dataset", "init", "a.b")
    assert (status, "Make room on that disk" in told, files) == (1, True, set())


@pytest.mark.rule("20.20")
def test_a_store_on_a_full_disk_is_named_with_what_to_do(project: Path, disk: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("a.b"))
    status, told, files = dli_on(disk, "code", "publish", "--store", str(disk))
    assert status == 5
    assert "Error: The store can't be written." in told
    assert "code/a.yaml No space left on device. Make room on that disk." in told
    assert files <= {".lock", "code"}


@pytest.mark.rule("20.20")
@pytest.mark.parametrize("what", [("config", "trust"), ("--install-completion", "bash")])
def test_files_of_the_users_own_that_a_full_disk_refuses_are_named(
    project: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, what: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(disk))
    (project / "dli.yaml").write_text("server: {url: 'http://me:secret@basecamp.example.com'}\n")
    status, told, _ = dli_on(disk, *what)
    assert status != 0
    assert f"{disk}/dli/" in told
    assert "No space left on device." in told
    assert "mistake" not in told


@pytest.mark.rule("20.20")
def test_a_local_run_succeeds_though_its_log_can_not_be_written(project: Path, disk: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("a.b"))
    (project / ".dli").symlink_to(disk)
    status, told, _ = dli_on(disk, "dataset", "run", "a.b")
    assert "The log of local runs can't be written: No space left on device." in told
    assert status == 0
