from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from dli.groups import LazyGroup
from dli.main import main
from dli.reference import commands, reference, with_reference
from unit.dli.basecamp import Basecamp
from unit.dli.documented import sessions
from unit.dli.specs import CLICKS, CLICKS_SQL, CLICKS_YAML, spec_of, write_clicks

DOCS = Path(__file__).parents[4] / "docs"
PAGE = DOCS / "cli.md"
CONFIGURATION = DOCS / "configuration.md"
PUBLISHING = DOCS / "publishing.md"
LOCAL_RUNS = DOCS / "local-runs.md"
METRICS = "iceberg.analytics.user_metrics"
RUN_ID = f"{CLICKS}_20240115_093045"


def test_the_reference_is_that_of_the_commands() -> None:
    page = PAGE.read_text()
    assert with_reference(page) == page, "write it anew: python -m dli.reference docs/cli.md"


@pytest.mark.parametrize("mode", [[], ["--check"]])
def test_the_reference_is_written_and_checked_by_a_program(tmp_path: Path, mode: list[str]) -> None:
    page = tmp_path / "cli.md"
    page.write_text(PAGE.read_text().replace("### `dli version`", "### `dli older`"))
    program = [sys.executable, "-m", "dli.reference", str(page), *mode]
    finished = subprocess.run(program, check=False)
    assert finished.returncode == len(mode)
    assert (page.read_text() == PAGE.read_text()) is not bool(mode)


def test_every_command_has_help_and_so_has_every_option() -> None:
    for context, command in commands():
        assert command.help, f"{context.command_path} has no help"
        for parameter in command.get_params(context):
            if parameter.param_type_name == "option":
                assert parameter.to_info_dict()["help"], (
                    f"{context.command_path} {parameter.name} has no help"
                )


def test_the_line_that_a_group_shows_of_a_command_is_the_first_of_its_help() -> None:
    for context, command in commands():
        if isinstance(command, LazyGroup):
            for name, (_, line) in command.lazy.items():
                inner = command.get_command(context, name)
                assert inner is not None
                assert (inner.help or "").splitlines()[0] == line
                # fish takes what stands behind a comma for something else.
                assert "," not in line


@pytest.mark.rule("22.13")
def test_every_command_is_in_the_documentation() -> None:
    paths = {context.command_path for context, _ in commands()}
    assert {
        f"dli {name}"
        for name in ("workflow run", "dataset register", "config show", "config trust", "version")
    } < paths
    assert paths == set(re.findall(r"^### `(.+)`$", reference(), re.MULTILINE))


def write_builders(project: Path) -> str:
    """Make the project of the pages: two datasets that build the tables of their names; returns the metrics' spec."""
    write_clicks(project)
    (project / "datasets" / "daily_clicks.sql").write_text(f"insert into {CLICKS} {CLICKS_SQL}")
    metrics = spec_of(METRICS).replace("select 1", f"create table {METRICS} as select 1")
    (project / "datasets" / f"dataset.{METRICS}.yaml").write_text(metrics)
    return metrics


def the_command_line(basecamp: Basecamp, project: Path) -> dict[str, Callable[[], None]]:
    """Make the project and the server of cli.md; returns what happens before some of its commands."""
    metrics = write_builders(project) + 'schedule: {cron: "0 10 * * *"}\n'
    (project / "datasets" / f"dataset.{METRICS}.yaml").write_text(metrics)
    basecamp.put_code(METRICS, metrics)

    def complete() -> None:
        basecamp.start_attempt(RUN_ID)
        basecamp.clock.let_pass(7)
        basecamp.log(RUN_ID, f"insert into {CLICKS} select * from clicks where day = '2024-01-15' limit 100")
        basecamp.airflow.end(CLICKS, RUN_ID, "success")

    stopped = f"{CLICKS}_20240115_093052"

    def complete_the_retried() -> None:
        basecamp.clock.let_pass(1)
        basecamp.start_attempt(stopped)
        basecamp.clock.let_pass(4)
        basecamp.airflow.end(CLICKS, stopped, "success")

    return {
        f"dli workflow status {RUN_ID}": complete,
        f'dli workflow stop {stopped} --reason "wrong date"': lambda: basecamp.start_attempt(stopped),
        "dli workflow history -n 1": complete_the_retried,
    }


def the_configuration(basecamp: Basecamp, project: Path) -> dict[str, Callable[[], None]]:
    """Make the project of configuration.md."""
    (project / "dli.yaml").write_text(blocks(CONFIGURATION, "yaml")[0])
    return {}


def the_pipeline(basecamp: Basecamp, project: Path) -> dict[str, Callable[[], None]]:
    """Make the project and the store of publishing.md, one manual spec in it; a macro changes before the last publish."""
    write_builders(project)
    sql, macros = project / "datasets" / "daily_clicks.sql", project / "macros" / "dates.sql"
    sql.write_text(f"{{% import 'macros/dates.sql' as dates %}}{sql.read_text()}")
    macros.parent.mkdir()
    macro = "{% macro month(day) %}date_trunc('month', date '{{ day }}'){% endmacro %}\n"
    macros.write_text(macro)
    store = project / "store"
    (store / "manual").mkdir(parents=True)
    (store / "manual" / f"{CLICKS}.yaml").write_text(CLICKS_YAML)
    (project / "dli.yaml").write_text("store: {url: store}\n")
    (project / "datasets" / "users").mkdir()
    dry_run = "dli code publish --dry-run"

    def write(text: str) -> Callable[[], None]:
        def act() -> None:
            macros.write_text(text)

        return act

    before = {"rm datasets/users/metrics.yaml": write(macro)}
    before[dry_run] = lambda: before.update({dry_run: write(macro.replace("month", "week"))})
    return before


def the_local_runs(basecamp: Basecamp, project: Path) -> dict[str, Callable[[], None]]:
    """Make what local-runs.md has beside the project that it makes itself."""

    def put(name: str, spec: str, sql: str) -> None:
        folder = project / "shop" / "datasets"
        head = f"name: {name}\ntype: Dataset\nowner: dana@example.com\nquery_file: {name}.sql\n"
        (folder / f"{name}.yaml").write_text(head + spec)
        (folder / f"{name}.sql").write_text(sql)

    latest = "select greeting, max(day) as last from shop.hello group by greeting limit {{ days }}\n"
    return {
        "dli dataset run shop.broken": lambda: put(
            "shop.broken", "", "select\n    greting\nfrom shop.hello\n"
        ),
        "dli dataset show shop.latest --sql -p days=7": lambda: put(
            "shop.latest", "parameters: [{name: days, type: integer}]\n", latest
        ),
    }


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page that are in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def output_of(command: str, basecamp: Basecamp) -> str:
    """Run a command as the page shows it, both of its outputs in one."""
    program, *arguments = shlex.split(command)
    if program == "cd":
        os.chdir(*arguments)
        return ""
    if program in {"mv", "rm"}:
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    assert program == "dli"
    screen = io.StringIO()
    with redirect_stdout(screen), redirect_stderr(screen):
        main(arguments)
    shown = screen.getvalue().replace(basecamp.url, "http://127.0.0.1:8800")
    shown = re.sub(r"(?<= )\d+\.\d\d s(?= \()", "0.05 s", shown)
    return shown.replace("http://airflow.memory", "https://airflow.example")


@pytest.mark.rule("22.12")
@pytest.mark.parametrize(
    ("page", "prepare"),
    [
        (PAGE, the_command_line),
        (CONFIGURATION, the_configuration),
        (PUBLISHING, the_pipeline),
        (LOCAL_RUNS, the_local_runs),
    ],
    ids=["cli.md", "configuration.md", "publishing.md", "local-runs.md"],
)
def test_every_session_of_a_page_is_what_a_reader_gets(
    basecamp: Basecamp,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: Path,
    prepare: Callable[[Basecamp, Path], dict[str, Callable[[], None]]],
) -> None:
    if page is CONFIGURATION:
        monkeypatch.delenv("DLI_SERVER_URL")
    before = prepare(basecamp, project)
    for typed in sessions(page):
        before.pop(typed.command, lambda: None)()
        assert output_of(typed.command, basecamp) == typed.output, f"after: {typed.command}"
    assert not before


def test_the_program_of_the_page_runs(basecamp: Basecamp, project: Path) -> None:
    write_clicks(project)
    subprocess.run(
        [sys.executable, "-m", "dli", "dataset", "register", CLICKS], check=True, capture_output=True
    )
    (program,) = blocks(PAGE, "python")
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program.replace("http://127.0.0.1:8800", basecamp.url)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "PENDING\n"
        basecamp.complete(RUN_ID)
        assert process.stdout.read().splitlines()[-1] == "COMPLETED"
    assert process.returncode == 0
