"""Errors as the command line prints them (specification 7.9, 8.2, 8.3, 16.6, 20.13, 20.14)."""

import pytest

from basecamp.dev.processes.ports import claim
from lines_here import on_airflow_2
from stacks import Stack

pytestmark = on_airflow_2

PARAMETERS = [
    {"name": "execution_date", "type": "date"},
    {"name": "limit", "type": "integer", "default": 10},
]


@pytest.fixture(scope="module")
def dataset(stack: Stack) -> str:
    return stack.register("select date '{{ execution_date }}' limit {{ limit }}", parameters=PARAMETERS)


@pytest.mark.rule("20.13")
def test_no_server(stack: Stack) -> None:
    nowhere = f"http://127.0.0.1:{claim(0, option='--port')}"

    done = stack.cli("workflow", "list", DLI_SERVER_URL=nowhere)

    assert done.returncode == 5
    assert done.stderr.startswith("Error: Cannot connect to server. Check your connection settings.\n")
    assert done.stdout == ""


@pytest.mark.rule("8.3")
def test_a_required_parameter_is_missing(stack: Stack, dataset: str) -> None:
    done = stack.cli("workflow", "run", dataset)

    assert done.returncode == 2
    assert done.stderr.startswith("Error: Missing required parameter: execution_date\n")


@pytest.mark.rule("8.2")
def test_an_undefined_parameter(stack: Stack, dataset: str) -> None:
    done = stack.cli("workflow", "run", dataset, "-p", "execution_date=2024-01-15", "-p", "undefined_param=1")

    assert done.returncode == 2
    assert done.stderr.startswith(
        "Error: Unknown parameter 'undefined_param'.\n"
        "Allowed parameters: execution_date (required), limit (optional)\n"
    )


@pytest.mark.parametrize("given", ["execution_date=lately", "execution_date=2024-02-30"])
def test_a_parameter_of_the_wrong_type(stack: Stack, dataset: str, given: str) -> None:
    done = stack.cli("workflow", "run", dataset, "-p", given)

    assert done.returncode == 2
    assert "execution_date" in done.stderr


@pytest.mark.rule("20.14")
def test_a_dataset_that_is_not_registered(stack: Stack) -> None:
    done = stack.cli("workflow", "run", "nobody.knows")

    assert done.returncode == 3
    assert done.stderr.startswith("Error: Dataset not found. Register first: dli dataset register\n")


def test_a_run_that_does_not_exist(stack: Stack) -> None:
    assert stack.cli("workflow", "status", "nobody.knows_20240115_093045").returncode == 3


@pytest.mark.parametrize(
    ("keys", "key", "hint"),
    [
        ({"quer_file": "x.sql"}, "quer_file", "query_file"),
        ({"schedule": {"cron": "0 25 * * *"}}, "cron", "25"),
        ({"schedule": {"cron": "0 9 * * *", "timezone": "Asia/Soul"}}, "timezone", "Asia/Seoul"),
    ],
)
def test_a_wrong_spec_is_named_by_its_place_and_nothing_is_stored(
    stack: Stack, keys: dict[str, object], key: str, hint: str
) -> None:
    name = stack.write("select 1", **keys)
    file = stack.project / "datasets" / f"dataset.{name}.yaml"
    number = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if key in text)

    done = stack.cli("dataset", "register", name)

    assert done.returncode == 2
    assert f"{file.name}:{number}:" in done.stderr
    assert hint in done.stderr
    assert stack.cli("workflow", "run", name).returncode == 3


@pytest.mark.rule("22.15")
def test_a_dataset_that_code_manages_can_t_be_replaced_without_consent(stack: Stack) -> None:
    name = stack.write("select 1")
    file = stack.project / "datasets" / f"dataset.{name}.yaml"
    code = stack.home / "store" / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / file.name).write_bytes(file.read_bytes())

    done = stack.cli("dataset", "register", name)

    assert done.returncode == 4
    assert done.stderr.startswith("Warning: This dataset already exists in Code path.\n")


@pytest.mark.rule("7.9")
def test_an_overridden_dataset_is_run_in_code_s_version_alone(stack: Stack) -> None:
    name = stack.register("select 1")
    file = stack.project / "datasets" / f"dataset.{name}.yaml"
    code = stack.home / "store" / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / file.name).write_bytes(file.read_bytes())

    done = stack.cli("workflow", "run", name, "--source", "manual")

    assert done.returncode == 4
    assert done.stderr.startswith("Error: This dataset is overridden by Code. Use the Code version.\n")
    rows = {row["source_type"]: row["status"] for row in stack.ask("workflow", "list", "-d", name)}
    assert rows == {"code": "active", "manual": "overridden"}
