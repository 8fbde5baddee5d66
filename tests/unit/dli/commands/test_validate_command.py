from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import dli.project.check
from dataspec.isolation import LimitExceeded, Limits
from dataspec.problems import Problem
from dli.commands.dataset.validate import annotation
from dli.project.isolated import isolated_batches
from dli.project.project import Project
from unit.dataspec import isolated_calls
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

UNUSED = "parameters: [{name: n, type: integer}]\n"
WARNING = "datasets/a.yaml:5:21: no SQL uses the parameter 'n'. Write {{ n }} where it belongs, or remove it."


def write(project: Path, name: str, more: str = "") -> None:
    (project / "datasets" / f"{name}.yaml").write_text(building(name, more))


def building(name: str, more: str = "") -> str:
    """Return a spec whose SQL builds a table, so that it has no warning of its own."""
    return spec_of(name, more=more).replace("select 1", f"create table {name} as select 1")


@pytest.mark.rule("22.19")
def test_warnings_alone_leave_a_spec_valid(dli: Dli, project: Path) -> None:
    write(project, "a", UNUSED)
    result = dli("dataset", "validate")
    assert (result.status, result.out) == (0, "Valid: a (datasets/a.yaml)\n")
    assert result.err == f"Warning: {WARNING}\n"


@pytest.mark.rule("22.19")
def test_strict_takes_warnings_for_errors(dli: Dli, project: Path) -> None:
    write(project, "a", UNUSED)
    result = dli("dataset", "validate", "--strict")
    assert (result.status, result.out) == (2, "")
    assert result.err == f"Error: Invalid Dataset Spec.\n       {WARNING}\n"
    (report,) = json.loads(dli("dataset", "validate", "--strict", "-f", "json").out)
    assert (report["valid"], report["problems"][0]["severity"]) == (False, "error")


@pytest.mark.rule("22.19")
def test_json_tells_how_bad_each_problem_is(dli: Dli, project: Path) -> None:
    write(project, "a", UNUSED)
    result = dli("dataset", "validate", "-f", "json")
    (report,) = json.loads(result.out)
    assert (result.status, report["valid"]) == (0, True)
    assert report["problems"] == [
        {
            "message": "no SQL uses the parameter 'n'.",
            "file": "datasets/a.yaml",
            "line": 5,
            "column": 21,
            "hint": "Write {{ n }} where it belongs, or remove it.",
            "severity": "warning",
        }
    ]
    assert dli("-f", "json", "dataset", "validate").out == result.out


@pytest.mark.rule("22.19")
def test_github_marks_the_lines_of_a_pull_request(dli: Dli, project: Path) -> None:
    write(project, "a", UNUSED)
    write(project, "b", "tagz: []\n")
    result = dli("dataset", "validate", "-f", "github")
    assert (result.status, result.err) == (2, "")
    assert result.out.splitlines() == [
        (
            "::warning file=datasets/a.yaml,line=5,col=21::no SQL uses the parameter 'n'. "
            "Write {{ n }} where it belongs, or remove it."
        ),
        "::error file=datasets/b.yaml,line=5,col=1::unknown key 'tagz'. Did you mean 'tags'?",
        "Checked 2 specs: 2 problems.",
    ]
    write(project, "b")
    assert dli("dataset", "validate", "-f", "github").status == 0
    assert dli("dataset", "validate", "-f", "github", "--strict").status == 2


@pytest.mark.rule("26.7")
def test_no_text_ends_or_forges_an_annotation() -> None:
    problem = Problem("100% of\n::error::x\r", "a,b:c%\n.yaml", 1, None, "y")
    assert annotation(problem) == ("::error file=a%2Cb%3Ac%25%0A.yaml,line=1::100%25 of%0A::error::x%0D y")


def test_one_spec_is_checked_beside_the_others_of_its_project(dli: Dli, project: Path) -> None:
    write(project, "b.a")
    write(project, "b.b", "depends_on: [b.c]\n")
    write(project, "broken", "tagz: []\n")
    result = dli("dataset", "validate", "b.b")
    assert (result.status, result.out) == (0, "Valid: b.b (datasets/b.b.yaml)\n")
    assert result.err.startswith("Warning: datasets/b.b.yaml:5:14: this project has no dataset 'b.c'.")


def test_a_file_outside_the_project_s_folder_is_checked_as_one_of_it(dli: Dli, project: Path) -> None:
    write(project, "a")
    (project / "new.yaml").write_text(building("new", "depends_on: [a]\n"))
    result = dli("dataset", "validate", "./new.yaml")
    assert (result.status, result.out, result.err) == (0, "Valid: new (new.yaml)\n", "")


def test_a_sql_file_that_can_not_be_read_is_told_once(dli: Dli, project: Path) -> None:
    yaml = spec_of("a", more=UNUSED).replace("query_statement: select 1", "query_file: q.sql")
    (project / "datasets" / "a.yaml").write_text(yaml)
    (project / "datasets" / "q.sql").write_bytes(b"select '\xff'")
    result = dli("dataset", "validate")
    assert (result.status, result.err) == (
        2,
        (
            "Error: Invalid Dataset Spec.\n"
            "       datasets/q.sql:1:9: the byte 0xff is not UTF-8; save the file as UTF-8.\n"
        ),
    )


PROGRAM = """
import sys
from pathlib import Path
import dli.project.check
dli.project.check.MANY = int(sys.argv[1])
print(dli.project.check.check_datasets(dli.project.check.Project(Path(), Path("datasets")), {}))
"""


@pytest.mark.rule("22.20")
def test_many_specs_are_checked_on_every_core_with_the_same_outcome(project: Path) -> None:
    for number in range(20):
        write(project, f"d{number:02}", UNUSED if number % 3 else "tagz: []\n")
    (project / "datasets" / "other.yaml").write_text("version: 1\n")
    (project / "datasets" / "unreadable.yaml").write_text("type: Dataset\nx: [\n")
    (project / "datasets" / "q.sql").write_text("select 1")
    outcomes = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, many], check=True, capture_output=True, text=True
        ).stdout
        for many in ("1", "1000")
    ]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].count("CheckedSpec(") == 21


@pytest.mark.rule("22.20")
def test_a_yaml_is_read_once_for_a_check(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "a", UNUSED)
    read: list[str] = []
    whole = Project.read

    def counted(self: Project, path: Path) -> object:
        read.append(path.name)
        return whole(self, path)

    monkeypatch.setattr(Project, "read", counted)
    monkeypatch.setattr("dli.project.project.is_dataset_document", lambda body: pytest.fail("read twice"))
    dli.project.check._check_batch(project, project / "datasets", {}, [project / "datasets" / "a.yaml"])
    assert read == ["a.yaml"]


@pytest.mark.rule("10.1")
def test_sql_that_says_no_dialect_is_read_in_that_of_its_connection_here(dli: Dli, project: Path) -> None:
    path = project / "datasets" / "a.yaml"
    head = "name: shop.daily\ntype: Dataset\nowner: dana@example.com\n"
    path.write_text(head + 'query_statement: "insert into shop.daily select `a` from raw.orders"\n')
    (project / "dli.yaml").write_text("connections: {dli_default: {url: 'bigquery://shop/raw'}}\n")
    assert dli("dataset", "validate", "--strict").status == 0
    assert "Reads:       raw.orders\n" in dli("dataset", "show", "shop.daily").out
    (project / "dli.yaml").write_text("connections: {dli_default: {url: 'postgresql://h/d'}}\n")
    refused = dli("dataset", "validate")
    assert refused.status == 2
    assert "datasets/a.yaml:4:" in refused.err
    assert "not valid postgres: " in refused.err
    assert "because 'dli_default' is postgres here; 'execution.dialect' names another." in refused.err
    path.write_text(path.read_text() + "execution: {dialect: bigquery}\n")
    assert dli("dataset", "validate").status == 0


def test_sql_of_a_connection_that_nobody_defines_is_read_as_duckdb_s_with_a_warning(
    dli: Dli, project: Path
) -> None:
    head = "name: shop.daily\ntype: Dataset\nowner: dana@example.com\n"
    (project / "datasets" / "a.yaml").write_text(head + "query_statement: select 1 = = 2\n")
    warned = dli("dataset", "validate")
    assert warned.status == 0
    assert "Warning: datasets/a.yaml:4:" in warned.err
    assert "because 'dli_default' is duckdb here; 'execution.dialect' names another." in warned.err


BROKEN = """\
name: shop.daily
type: Dataset
owner: nobody
query_statement: |
  select * from raw.orders
  where day = '{{ execution_dat }}'
pre_statements:
  - sql: select 1
  - {name: q, file: q.sql}
  - {name: gone, file: gone.sql}
parameters:
  - {name: execution_date, type: date}
  - {name: n, type: intger, default: 1}
execution: {dialect: duckdb}
schedule: {cron: 0 25 * * *}
"""


@pytest.mark.rule("2.22")
def test_a_wrong_key_does_not_keep_the_sql_from_being_checked(dli: Dli, project: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(BROKEN)
    (project / "datasets" / "q.sql").write_text("select {{ n }}\nfrom where a = = 1")
    told = dli("dataset", "validate").err
    assert [line.split(": ")[0].strip() for line in told.splitlines()[1:]] == [
        "datasets/a.yaml:3:8",  # the owner
        "datasets/a.yaml:6:19",  # a parameter that is not declared
        "datasets/a.yaml:8:5",  # a name is missing
        "datasets/a.yaml:10:24",  # a file is missing
        "datasets/a.yaml:13:21",  # the type
        "datasets/a.yaml:15:18",  # cron
        "datasets/q.sql:2:6",  # SQL
    ]


@pytest.mark.rule("2.22")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("parameters:\n", "parameters: 3\nparameter:\n"),
        ("{name: n, ", "{nam: n, "),
        ("dialect: duckdb", "dialect: duckbd"),
        ("execution: {dialect: duckdb}", "execution: duckdb"),
    ],
)
def test_sql_is_not_checked_where_its_parameters_or_its_dialect_can_not_be_told(
    dli: Dli, project: Path, right: str, wrong: str
) -> None:
    (project / "datasets" / "a.yaml").write_text(BROKEN.replace(right, wrong))
    (project / "datasets" / "q.sql").write_text("select {{ n }}\nfrom where a = = 1")
    told = dli("dataset", "validate").err
    assert "datasets/a.yaml:3:8" in told
    assert "execution_dat'" not in told
    assert "q.sql" not in told


@pytest.mark.rule("10.12")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_ends_its_process_fails_alone(workers: int) -> None:
    """The others of its batch are done again, and the order stays."""
    found = isolated_batches(
        isolated_calls.spin_at_two,
        [[0, 1, 2, 3], [4, 5], [6]],
        workers=workers,
        failed=lambda item, exceeded: -item,
        limits=Limits(cpu_seconds=0.2),
    )
    assert found == [0, 1, -2, 3, 4, 5, 6]


@pytest.mark.rule("10.12")
def test_sql_that_can_not_be_read_in_time_is_a_problem_of_its_file() -> None:
    found = dli.project.check._not_checked(Path("datasets/a.yaml"), LimitExceeded("it took more than 3 s"))
    [problem] = found.problems
    assert str(problem) == (
        "datasets/a.yaml: the SQL can't be checked: it took more than 3 s. "
        "Make it smaller, or move a part of it into a dataset of its own."
    )
