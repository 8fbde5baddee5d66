"""Measure `dli dataset run`: cold processes on one trivial query, beside dbt and SQLMesh on the same one.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from commands import machine
from processes import Command, measure, table
from server import BIN, REPOSITORY

ENVS = REPOSITORY / ".basecamp"
QUERY = "select 1 as one"

SPEC = f"""\
name: bench.one
type: Dataset
owner: bench@example.com
query_statement: create or replace table one as {QUERY}
"""
DATED = f"""\
name: bench.dated
type: Dataset
owner: bench@example.com
query_statement: create or replace table dated as {QUERY}, date '{{{{ execution_date }}}}' as day
parameters: [{{name: execution_date, type: date}}]
"""
DBT = {
    "dbt_project.yml": "name: bench\nprofile: bench\nmodels: {+materialized: table}\n",
    "profiles.yml": "bench: {target: dev, outputs: {dev: {type: duckdb, path: warehouse.duckdb}}}\n",
    "models/one.sql": QUERY,
}
SQLMESH = {
    "config.yaml": (
        "gateways: {local: {connection: {type: duckdb, database: warehouse.duckdb}}}\n"
        "default_gateway: local\nmodel_defaults: {dialect: duckdb, start: 2024-01-01}\n"
    ),
    "models/one.sql": f"MODEL (name bench.one, kind FULL, cron '@daily');\n{QUERY}\n",
}


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder:
        commands = [duckdb_alone(), *dli(Path(folder)), dbt(Path(folder)), sqlmesh(Path(folder))]
        measure(commands)
    print(table(commands, beside="import duckdb"))
    alone, ours = (command.median.wall for command in commands[:2])
    print(f"\n`dli dataset run` takes {ours - alone:.0f} ms more than the import of DuckDB.")


def duckdb_alone() -> Command:
    return Command("import duckdb", [str(BIN / "python"), "-c", "import duckdb"], rounds=15)


def dli(folder: Path) -> list[Command]:
    project = write(
        folder / "dli", {"dli.yaml": "name: bench\n", "datasets/one.yaml": SPEC, "datasets/dated.yaml": DATED}
    )
    run = [str(BIN / "dli"), "--path", str(project), "dataset", "run"]
    return [
        Command("dli dataset run", [*run, "bench.one"], rounds=15),
        Command("… with a parameter", [*run, "bench.dated", "-p", "execution_date=2024-01-15"], rounds=15),
    ]


def dbt(folder: Path) -> Command:
    project = write(folder / "dbt", DBT)
    program = install("dbt-env", "dbt-duckdb", "dbt-core<1.12") / "dbt"
    where = ["--project-dir", str(project), "--profiles-dir", str(project)]
    usage = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    return Command(
        "dbt run", ["sh", "-c", f'cd "{project}" && exec "$@"', "sh", str(program), "run", *where], usage
    )


def sqlmesh(folder: Path) -> Command:
    project = write(folder / "sqlmesh", SQLMESH)
    program = install("sqlmesh-env", "sqlmesh") / "sqlmesh"
    quiet = {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true"}
    within = ["sh", "-c", f'cd "{project}" && exec "$@"', "sh", str(program)]
    planned = Command("sqlmesh plan", [*within, "plan", "--auto-apply", "--no-prompts"], quiet)
    planned.run(counted=False)
    return Command("sqlmesh run", [*within, "run", "--ignore-cron"], quiet)


def install(name: str, *packages: str) -> Path:
    """Make an environment with packages, unless it is there; returns where its programs are.

    From 1.12 on, dbt-core fetches a part of itself from elsewhere while it is installed.
    """
    programs = ENVS / name / "bin"
    if not programs.exists():
        subprocess.run([BIN / "uv", "venv", "--quiet", ENVS / name], check=True)
        into = ["--python", str(programs / "python")]
        subprocess.run([BIN / "uv", "pip", "install", "--quiet", *into, *packages], check=True)
    return programs


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


if __name__ == "__main__":
    main()
