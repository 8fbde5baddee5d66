from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from dataspec.errors import DliError, ManagedByCode, UnknownParameter
from dli.main import error_text
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.scripted_server import answer, drip, scripted
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of


def program(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


@pytest.mark.rule("20.5")
def test_an_error_is_printed_with_its_further_lines_aligned() -> None:
    assert error_text(ManagedByCode()) == (
        "Error: This dataset is managed by Code (GitOps).\n"
        "       Modify the YAML in Git and deploy via CI/CD.\n"
        "       Only pause/unpause operations are allowed via CLI."
    )
    assert error_text(DliError("It is so.", detail="a\nb")) == "Error: It is so.\n       a\n       b"


@pytest.mark.rule("8.2")
def test_an_unknown_parameter_is_printed_as_in_the_session_of_the_specification() -> None:
    error = UnknownParameter("undefined_param", {"execution_date": True, "limit": False})
    assert error_text(error) == (
        "Error: Unknown parameter 'undefined_param'.\n"
        "Allowed parameters: execution_date (required), limit (optional)"
    )


@pytest.mark.rule("20.4", "20.17")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["workfow"], "No such command 'workfow'. Did you mean 'workflow'?"),
        (["workflow", "stat"], "No such command 'stat'. Did you mean 'status'?"),
        (["dataset", "registr", "x"], "No such command 'registr'. Did you mean 'register'?"),
        (["config", "xyz"], "No such command 'xyz'. Commands: show, trust."),
        (["workflow", "list", "--runing"], "Did you mean '--running'?"),
        (["workflow", "list", "--source", "git"], "'git' is not one of 'code', 'manual', 'all'."),
        (["workflow", "run"], "Missing argument 'DATASET'."),
        (["workflow", "run", "a", "b"], "Got unexpected extra argument (b)"),
        (["workflow", "run", "a", "-p"], "Option '-p' requires an argument."),
        (["workflow", "list", "-f", "xml"], "'xml' is not one of 'table', 'json'."),
        (["--install-completion", "tcsh"], "dli --install-completion bash|zsh|fish"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_what_is_right(dli: Dli, arguments: list[str], hint: str) -> None:
    result = dli(*arguments)
    assert (result.status, result.out) == (2, "")
    assert hint in result.err


@pytest.mark.parametrize("arguments", [[], ["workflow"], ["dataset"], ["config"]])
def test_a_group_alone_shows_its_commands(dli: Dli, arguments: list[str]) -> None:
    result = dli(*arguments)
    assert (result.status, "Commands:" in result.err) == (2, True)


@pytest.mark.rule("22.28")
@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_the_version_is_that_of_the_distribution(dli: Dli, arguments: list[str]) -> None:
    assert dli(*arguments).out == f"dli {version('dli-basecamp')} (dli-basecamp)\n"


@pytest.mark.rule("22.28")
def test_a_program_reads_the_version_and_the_distribution_apart(dli: Dli) -> None:
    shown = json.loads(dli("version", "--format", "json").out)
    assert shown == {"version": version("dli-basecamp"), "distribution": "dli-basecamp"}


@pytest.mark.rule("20.6")
def test_options_that_commands_share_may_stand_before_the_command_and_the_last_one_counts(dli: Dli) -> None:
    before = dli("--server-url", "http://127.0.0.1:1", "workflow", "list")
    assert "http://127.0.0.1:1: connection refused" in before.err
    both = dli("--server-url", "http://127.0.0.1:1", "workflow", "list", "--server-url", "http://127.0.0.1:2")
    assert "http://127.0.0.1:2: connection refused" in both.err


@pytest.mark.rule("20.6")
def test_verbose_shows_every_call_on_standard_error(basecamp: Basecamp, dli: Dli) -> None:
    for arguments in (["workflow", "list", "-v"], ["-v", "workflow", "list"]):
        result = dli(*arguments)
        assert result.err.startswith("GET /api/v1/workflows?limit=10000: 200 in ")
        assert result.out.startswith("DATASET")


@pytest.mark.rule("20.5")
def test_a_mistake_in_the_program_is_one_line_with_the_way_to_its_traceback(tmp_path: Path) -> None:
    # A library that breaks when it is loaded stands for every mistake that nobody thought of.
    (tmp_path / "ssl.py").write_text("raise RuntimeError('boom')\n")
    short = program("workflow", "list", PYTHONPATH=str(tmp_path))
    out, errors = short.communicate(timeout=300)
    assert (short.returncode, out) == (1, "")
    assert errors.splitlines() == [
        "Error: Unexpected RuntimeError: boom",
        "       This is a mistake in dli. The same command with --verbose shows where.",
    ]
    long = program("workflow", "list", "--verbose", PYTHONPATH=str(tmp_path))
    _, errors = long.communicate(timeout=300)
    assert (long.returncode, "Traceback (most recent call last)" in errors) == (1, True)


@pytest.mark.parametrize("body", [{"items": 7}, {"message": "hello"}, [], 3])
def test_json_that_is_not_basecamps_is_not_taken_for_a_list(dli: Dli, body: object) -> None:
    with scripted(answer(body)) as server:
        result = dli("workflow", "list", "--server-url", server.url)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("Error: The server's answer can't be read")


def test_an_argument_that_is_no_text_is_refused() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "dli", "workflow", "list", "-d", b"caf\xe9"], capture_output=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr == b"Error: An argument is not valid UTF-8: caf\\udce9\n"


@pytest.mark.rule("20.5")
def test_an_error_of_the_user_shows_no_traceback_even_when_verbose(dli: Dli) -> None:
    assert "Traceback" not in dli("dataset", "run", "a", "-v").err


def test_a_reader_that_has_had_enough_ends_the_command_quietly(basecamp: Basecamp) -> None:
    for number in range(300):
        basecamp.store.put(
            f"code/{number}.yaml", spec_of(f"long.{'x' * 150}.{number}").encode(), expected="*missing*"
        )
    process = program("workflow", "list")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("DATASET")
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(300), errors) == (0, "")


def test_output_that_can_not_be_written_is_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("only Linux has a device that is always full")
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "dli", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (finished.returncode, finished.stderr) == (
        1,
        "Error: The output can't be written: No space left on device.\n",
    )


@pytest.mark.rule("20.4")
def test_an_interrupt_ends_with_130_and_no_traceback() -> None:
    with scripted(drip) as server:
        process = program("workflow", "list", "--server-url", server.url)
        while not server.received:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.strip() == "Interrupted."


def test_an_interrupt_while_the_program_is_loaded_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    process = program("--help", PYTHONPATH=str(tmp_path))
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (130, "")


def test_letters_that_the_terminal_has_not_are_escaped_not_fatal(basecamp: Basecamp) -> None:
    more = 'description: 한국어\nschedule: {cron: "0 9 * * *"}\n'
    basecamp.put_code("a", spec_of("a", more=more))
    process = program("dataset", "show", "a", "--registered", PYTHONIOENCODING="latin-1")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "\\ud55c" in out


def test_json_has_korean_letters_as_they_are(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code("a", spec_of("a", more="description: 일별 클릭\n"))
    assert '"description": "일별 클릭"' in dli("workflow", "list", "-f", "json").out


@pytest.mark.rule("21.4")
def test_a_variable_that_overrides_the_chosen_environment_is_told(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    (project / "dli.yaml").write_text("environments: {prod: {server: {url: https://prod.example}}}\n")
    result = dli("workflow", "list", "--env", "prod")
    assert result.status == 0
    assert "Warning: DLI_SERVER_URL stands before the server of the environment 'prod'." in result.err


def test_the_server_of_the_project_is_used(
    basecamp: Basecamp, dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    monkeypatch.delenv("DLI_SERVER_URL")
    (project / "dli.yaml").write_text(f"server:\n  url: {basecamp.url}\n")
    assert CLICKS in dli("workflow", "list").out


@pytest.mark.rule("20.5")
@pytest.mark.parametrize(
    ("break_it", "arguments", "problem", "step"),
    [
        (lambda root: (root / "datasets").write_text(""), ["init"], "datasets", "File exists"),
        (lambda root: root.chmod(0o555), ["init"], "dli.yaml", "Permission denied"),
    ],
)
def test_what_the_system_refuses_is_no_mistake_in_the_program(
    tmp_path: Path, break_it: Callable[[Path], object], arguments: list[str], problem: str, step: str
) -> None:
    """A folder without permission, a file in a folder's place: the path, the reason and the next step."""
    break_it(tmp_path)
    # Root may write everywhere unless it gives that right up.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-m", "dli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    tmp_path.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert f"{problem} can't be used: {step}." in done.stderr
    assert "mistake in dli" not in done.stderr


@pytest.mark.rule("20.5")
@pytest.mark.parametrize(
    "arguments",
    [
        ("dataset", "validate"),
        ("dataset", "validate", "a.b"),
        ("dataset", "run", "a.b"),
        ("dataset", "show", "a.b"),
        ("dataset", "register", "a.b"),
        ("dataset", "graph"),
        ("dataset", "list"),
        ("code", "publish"),
    ],
)
def test_outside_a_project_a_command_says_how_to_make_one(
    dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path / "nowhere")
    monkeypatch.setenv("DLI_STORE_URL", str(tmp_path / "store"))
    assert ": dli init\n" in dli(*arguments).err
