from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

STARTUP = {"bash": ".bashrc", "zsh": ".zshrc"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.rule("20.19")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_written_and_loaded_by_the_shells_startup_file_once(
    dli: Dli, home: Path, shell: str
) -> None:
    startup = home / STARTUP[shell]
    startup.write_text("alias ll='ls -l'")
    script = home / ".config" / "dli" / f"completion.{shell}"
    first = dli("--install-completion", shell)
    assert (first.status, first.err) == (0, "")
    assert first.out.splitlines()[:2] == [f"Wrote {script}", f"Added a line to {startup}"]
    assert startup.read_text() == f"alias ll='ls -l'\n\n# Completion of dli\nsource \"{script}\"\n"
    second = dli("--install-completion", shell)
    assert second.out.splitlines()[:2] == [f"{script} is up to date.", f"{startup} loads it already."]
    assert startup.read_text().count("source") == 1


@pytest.mark.rule("20.19")
def test_a_startup_file_that_is_not_utf_8_keeps_every_byte(dli: Dli, home: Path) -> None:
    startup = home / ".bashrc"
    before = "alias café='ls'\n".encode("latin-1") + b"export X=\xff\xfe\n"
    startup.write_bytes(before)
    for _ in range(2):
        assert dli("--install-completion", "bash").status == 0
    assert startup.read_bytes().startswith(before + b"\n# Completion of dli\nsource ")
    assert startup.read_bytes().count(b"source ") == 1


def test_fish_finds_completion_by_itself(dli: Dli, home: Path) -> None:
    result = dli("--install-completion", "fish")
    script = home / ".config" / "fish" / "completions" / "dli.fish"
    assert result.out.splitlines()[0] == f"Wrote {script}"
    assert "complete " in script.read_text()


def test_an_outdated_script_is_written_anew(dli: Dli, home: Path) -> None:
    dli("--install-completion", "bash")
    script = home / ".config" / "dli" / "completion.bash"
    script.write_text("old")
    assert f"Wrote {script}" in dli("--install-completion", "bash").out
    assert "complete " in script.read_text()


def test_the_shell_that_runs_is_found(home: Path) -> None:
    # The shell must stay the parent: a last command would take its place.
    line = f"{sys.executable} -m dli --install-completion; true"
    environ = {**os.environ, "SHELL": "/bin/tcsh"}
    finished = subprocess.run(["bash", "-c", line], env=environ, capture_output=True, text=True, check=True)
    assert f"Added a line to {home / '.bashrc'}" in finished.stdout


def installed_under(login_shell: str) -> subprocess.CompletedProcess[str]:
    """Run the command with this process, which is no shell, as its parent."""
    return subprocess.run(
        [sys.executable, "-m", "dli", "--install-completion"],
        env={**os.environ, "SHELL": login_shell},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_login_shell_counts_where_no_shell_runs() -> None:
    assert "dli.fish" in installed_under("/usr/bin/fish").stdout


def test_a_shell_that_is_not_known_is_refused_with_those_that_are() -> None:
    finished = installed_under("/bin/tcsh")
    assert finished.returncode == 2
    assert "No completion for the shell 'tcsh'." in finished.stderr
    assert "dli --install-completion bash|zsh|fish" in finished.stderr


def test_a_file_that_can_not_be_written_is_named(dli: Dli, home: Path) -> None:
    (home / ".config").write_text("in the way")
    result = dli("--install-completion", "bash")
    assert (result.status, str(home / ".config") in result.err) == (2, True)


def completed(*words: str) -> list[str]:
    """Ask as bash does."""
    environ = {
        **os.environ,
        "_DLI_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["dli", *words]),
        "COMP_CWORD": str(len(words)),
    }
    finished = subprocess.run(
        [sys.executable, "-c", "import sys; from dli.main import main; sys.exit(main())"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in finished.stdout.splitlines() if line]


def test_commands_options_and_values_are_completed() -> None:
    assert completed("work") == ["workflow"]
    assert completed("workflow", "un") == ["unpause"]
    assert completed("workflow", "list", "--so") == ["--source"]
    assert completed("workflow", "list", "--source", "") == ["code", "manual", "all"]


@pytest.mark.rule("20.19")
def test_the_datasets_of_the_project_are_completed(project: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("sales.daily"))
    (project / "datasets" / "b.yaml").write_text(spec_of("sales.weekly"))
    (project / "datasets" / "c.yaml").write_text("type: Dataset\nname: [\n")
    assert completed("workflow", "run", "sales.") == ["sales.daily", "sales.weekly"]
    assert completed("dataset", "show", "sales.w") == ["sales.weekly"]
    (project / "dli.yaml").write_text("not valid: [\n")
    assert completed("dataset", "show", "sales.w") == []


@pytest.mark.rule("20.19")
def test_the_words_of_a_selection_are_completed(project: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("sales.daily", more="tags: [hourly, core]\n"))
    (project / "datasets" / "b.yaml").write_text(spec_of("sales.weekly", more="tags: [core]\n"))
    (project / "datasets" / "c.yaml").write_text("type: Dataset\ntags: [\n")
    (project / "datasets" / "d.yaml").write_text("type: Dataset\ntags: {a: 1}\n")
    for command in ("validate", "graph"):
        assert completed("dataset", command, "--select", "sales.") == ["sales.daily", "sales.weekly"]
    assert completed("dataset", "validate", "--exclude", "tag:") == ["tag:core", "tag:hourly"]
    assert completed("dataset", "validate", "--select", "2+sales.w") == ["2+sales.weekly"]
    assert completed("dataset", "validate", "--select", "sales.daily", "-s", "+tag:h") == ["+tag:hourly"]
    paths = ["path:datasets", *(f"path:datasets/{name}.yaml" for name in "abcd")]
    assert completed("dataset", "run", "--select", "path:") == paths
    (project / "dli.yaml").write_text("not valid: [\n")
    assert completed("dataset", "run", "--select", "sales.w") == []


@pytest.mark.rule("20.19")
@pytest.mark.parametrize(
    ("words", "replies"),
    [
        (["--select", "tag", ":"], ["core", "hourly"]),
        (["--select", "tag", ":", "ho"], ["hourly"]),
        (["--select", "sales.daily", "2+tag", ":", "ho"], ["hourly"]),
        (["--select", "sales.d"], ["sales.daily"]),
        (["sales.daily", ""], ["sales.daily", "sales.weekly"]),
    ],
)
def test_bash_which_splits_words_at_a_colon_completes_tags(
    dli: Dli, home: Path, project: Path, words: list[str], replies: list[str]
) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("sales.daily", more="tags: [hourly, core]\n"))
    (project / "datasets" / "b.yaml").write_text(spec_of("sales.weekly"))
    dli("--install-completion", "bash")
    program = project / "dli-here"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -m dli\n")
    program.chmod(0o755)
    line = " ".join(f"'{word}'" for word in ["dli", "dataset", "validate", *words])
    asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words) + 2}; _dli_completion {program}"
    script = f'source {home}/.config/dli/completion.bash; {asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (replies, "")


def test_bash_loads_the_script(dli: Dli, home: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    dli("--install-completion", "bash")
    loaded = subprocess.run(
        ["bash", "-c", f"source {home / '.bashrc'} && complete -p dli"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert "dli" in loaded.stdout
