"""Measure a run of a hundred small models, and checks of a million rows, beside dbt and SQLMesh on the same ones.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from commands import machine
from local_runs import install, write
from processes import Command, measure, table
from server import BIN

MODELS = 100
LAYER = 10
"""So many models read from the ten models before them."""
ROWS = 1_000_000
ROUNDS = 5
PROFILE = """\
bench:
  target: dev
  outputs: {dev: {type: duckdb, path: warehouse.duckdb, schema: bench, threads: 4}}
"""
SQLMESH_CONFIG = """\
gateways: {local: {connection: {type: duckdb, database: warehouse.duckdb}}}
default_gateway: local
model_defaults: {dialect: duckdb, start: 2024-01-01}
"""
COLUMNS = ("id", "customer_id", "status", "amount")
STATUSES = ("placed", "shipped", "completed", "returned")
EVENTS = f"""\
create schema bench;
create table bench.customers as select range as id from range(10000);
create table bench.events as
  select range as id, range % 10000 as customer_id, ['{"', '".join(STATUSES)}'][1 + range % 4] as status,
    (range % 1000)::decimal(18, 2) as amount
  from range({ROWS});
"""
"""A table on which every check passes."""


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    dbt, sqlmesh = install("dbt-env", "dbt-duckdb", "dbt-core<1.12"), install("sqlmesh-env", "sqlmesh")
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder:
        projects = [
            Dli(Path(folder) / "dli", BIN),
            Dbt(Path(folder) / "dbt", dbt),
            SqlMesh(Path(folder) / "sqlmesh", sqlmesh),
        ]
        for title, commands in (
            (f"## A run of {MODELS} small models\n", [project.models() for project in projects]),
            (f"## Checks of {ROWS:,} rows\n", [project.checks() for project in projects]),
        ):
            measured = [command for several in commands for command in several]
            measure(measured)
            print(title)
            print(table(measured, beside=measured[0].name), "\n")


def query(number: int, named: str) -> str:
    """Return the query of a model: the first ones make rows, each of the others joins two of the layer before."""
    if number < LAYER:
        return f"select range as id, range % 7 as kind, range * {number + 1} as amount from range(1000)"
    base = number // LAYER * LAYER - LAYER
    first, second = (named.format(name_of(base + (number + step) % LAYER)) for step in (0, 3))
    return (
        f"select a.id, a.kind, a.amount + b.amount as amount from {first} as a\n"
        f"inner join {second} as b on a.id = b.id where a.amount >= 0"
    )


def name_of(number: int) -> str:
    return f"model_{number:03}"


class Project:
    """The models and the checked table as one tool has them.

    Args:
        root: The folder, in which there is a project for each of the two.
        programs: Where the tool's programs are.
    """

    environ: dict[str, str] = {}  # noqa: RUF012 - a constant

    def __init__(self, root: Path, programs: Path) -> None:
        self.root = root
        self.programs = programs

    def models(self) -> list[Command]:
        """Return commands that build all models: into an empty database, and once more."""
        raise NotImplementedError

    def checks(self) -> list[Command]:
        """Return the command that checks the table."""
        raise NotImplementedError

    def command(self, name: str, folder: str, *arguments: str, empty: bool = False) -> Command:
        removed = "rm -rf warehouse.duckdb* && " if empty else ""
        within = ["sh", "-c", f'cd "{self.root / folder}" && {removed}exec "$@"', "sh"]
        program = str(self.programs / arguments[0])
        return Command(name, [*within, program, *arguments[1:]], self.environ, rounds=ROUNDS)

    def fill(self, folder: str) -> None:
        """Make the table to check, with the tool's own DuckDB, which may read no file of a newer one."""
        code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
        warehouse = str(self.root / folder / "warehouse.duckdb")
        subprocess.run([self.programs / "python", "-c", code, warehouse, EVENTS], check=True)


class Dli(Project):
    def models(self) -> list[Command]:
        files = {
            f"datasets/{name_of(number)}.yaml": self.spec(
                f"bench.{name_of(number)}", query(number, "bench.{}"), "materialization: table\n"
            )
            for number in range(MODELS)
        }
        write(self.root / "models", {"dli.yaml": "name: bench\n", **files})
        run = ("dli", "dataset", "run", "--all")
        return [
            self.command("dli dataset run --all", "models", *run, empty=True),
            self.command("… once more", "models", *run),
        ]

    def checks(self) -> list[Command]:
        checks = f"""\
checks:
  - not_null: [{", ".join(COLUMNS)}]
  - unique: [id]
  - accepted_values: {{column: status, values: [{", ".join(STATUSES)}]}}
  - relationships: {{column: customer_id, to: bench.customers, field: id}}
  - expression: amount >= 0
"""
        spec = self.spec("bench.events", "select 1", checks)
        write(self.root / "checks", {"dli.yaml": "name: bench\n", "datasets/events.yaml": spec})
        self.fill("checks")
        return [self.command("dli dataset check", "checks", "dli", "dataset", "check", "bench.events")]

    def spec(self, name: str, sql: str, more: str) -> str:
        head = f"name: {name}\ntype: Dataset\nowner: bench@example.com\n"
        return f"{head}query_statement: {json.dumps(sql)}\n{more}"


class Dbt(Project):
    environ = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_PROFILES_DIR": "."}  # noqa: RUF012 - a constant

    def models(self) -> list[Command]:
        files = {
            f"models/{name_of(number)}.sql": query(number, "{{{{ ref('{}') }}}}") for number in range(MODELS)
        }
        self.write("models", files)
        return [
            self.command("dbt run", "models", "dbt", "run", empty=True),
            self.command("dbt run, once more", "models", "dbt", "run"),
        ]

    def checks(self) -> list[Command]:
        tests: dict[str, list[object]] = {name: ["not_null"] for name in COLUMNS}
        tests["id"].append("unique")
        tests["status"].append({"accepted_values": {"values": STATUSES}})
        related = {"to": "source('bench', 'customers')", "field": "id"}
        tests["customer_id"].append({"relationships": related})
        columns = [{"name": name, "data_tests": found} for name, found in tests.items()]
        tables = [{"name": "events", "columns": columns}, {"name": "customers"}]
        sources = {"sources": [{"name": "bench", "schema": "bench", "tables": tables}]}
        amounts = "select * from {{ source('bench', 'events') }} where not coalesce(amount >= 0, false)\n"
        self.write("checks", {"models/sources.yml": json.dumps(sources), "tests/amounts.sql": amounts})
        self.fill("checks")
        return [self.command("dbt test", "checks", "dbt", "test")]

    def write(self, folder: str, files: dict[str, str]) -> None:
        project = "name: bench\nprofile: bench\nmodels: {+materialized: table}\n"
        write(self.root / folder, {"dbt_project.yml": project, "profiles.yml": PROFILE, **files})


class SqlMesh(Project):
    environ = {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true"}  # noqa: RUF012 - a constant

    def models(self) -> list[Command]:
        files = {
            f"models/{name_of(number)}.sql": (
                f"MODEL (name bench.{name_of(number)}, kind FULL);\n{query(number, 'bench.{}')}\n"
            )
            for number in range(MODELS)
        }
        self.write("models", files)
        plan = ("sqlmesh", "plan", "--auto-apply", "--no-prompts")
        return [
            self.command("sqlmesh plan", "models", *plan, empty=True),
            self.command(
                "sqlmesh plan --restate-model, all", "models", *plan, "--restate-model", "bench.model_*"
            ),
        ]

    def checks(self) -> list[Command]:
        listed = ", ".join(COLUMNS)
        audits = f"""\
MODEL (name bench.checked, kind VIEW, audits (
  not_null(columns := ({listed})),
  unique_values(columns := (id)),
  accepted_values(column := status, is_in := ('{"', '".join(STATUSES)}')),
  related,
  forall(criteria := (amount >= 0))
));
select {listed} from bench.events
"""
        related = (
            "AUDIT (name related);\nselect * from @this_model as e\n"
            "where customer_id is not null and not exists (select 1 from bench.customers as c where c.id = e.customer_id)\n"
        )
        self.write("checks", {"models/checked.sql": audits, "audits/related.sql": related})
        self.fill("checks")
        planned = self.command("sqlmesh plan", "checks", "sqlmesh", "plan", "--auto-apply", "--no-prompts")
        planned.run(counted=False)
        return [self.command("sqlmesh audit", "checks", "sqlmesh", "audit")]

    def write(self, folder: str, files: dict[str, str]) -> None:
        write(self.root / folder, {"config.yaml": SQLMESH_CONFIG, **files})


if __name__ == "__main__":
    main()
