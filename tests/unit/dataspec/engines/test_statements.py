"""What engines that don't run here are sent: it parses, and one statement publishes the rows."""

from __future__ import annotations

import logging
import re
from datetime import date

import duckdb
import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter
from trino_query_parser import parse_statement

from dataspec.engines.materialization.rehearsal import preview_run
from dataspec.engines.session import StatementFailed
from dataspec.engines.statement_log import StatementLog
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.parse import parse_spec
from dataspec.spec.run_values import resolve_run
from dataspec.sql.checks.schema_check import is_same_type
from dataspec.sql.materialization.engine_sql import Act, How
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.materialization.supported import engine_sql
from dataspec.sql.rendering import RenderedStatement
from scripted_engine import PARAMETERS, TYPES, ScriptedEngine

ALL = ("day", "id", "name")
FIRST, SECOND = date(2024, 1, 15), date(2024, 1, 16)
PARTITION = "{type: incremental, strategy: replace_partition, partition_column: day}"
MERGE = "{type: incremental, strategy: merge, unique_key: [id]}"
APPEND = "{type: incremental, strategy: append, on_schema_change: append_columns}"
CHECKS = """checks:
- not_null: [id]
- unique: [id, day]
- accepted_values: {column: name, values: ["a", "it's"]}
- relationships: {column: id, to: shop.customers, field: id}
- row_count: {min: 1}
- {expression: "id > 0", where: "day = date '2024-01-15'"}
- sql: select id from {{ this }} where id < 0
"""
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a new table": ("table", ()),
    "the rows of a table": ("table", ALL),
    "a table with other columns": ("table", ("day", "id")),
    "a view": ("view", ()),
    "a partition": (PARTITION, ALL),
    "rows by their key": (MERGE, ALL),
    "more rows and a column": (APPEND, ("day", "id")),
}


GRAMMARS = {"bigquery": "bigquery", "databricks": "databricks", "snowflake": "snowflake", "spark": "sparksql"}
"""The dialects of sqlfluff for the engines that don't run here."""


@pytest.mark.rule("35.30")
@pytest.mark.parametrize("dialect", [*GRAMMARS, "trino"])
def test_every_statement_parses(dialect: str) -> None:
    engines = [ScriptedEngine(dialect, there) for _, there in RUNS.values()]
    for engine, (form, _) in zip(engines, RUNS.values(), strict=True):
        engine.run(form, CHECKS)
    digest = re.compile(r"__dli_[0-9a-f]+_[0-9a-f]+")
    statements = {digest.sub("__dli_1_2", one.sql) for engine in engines for one in engine.sent}
    for sql in statements:
        sqlglot.parse_one(sql, dialect=dialect)
        assert why_unread(dialect, sql) is None, sql


@pytest.mark.rule("35.28", "35.29")
@pytest.mark.parametrize("dialect", [*GRAMMARS, "trino"])
def test_the_statements_of_a_full_refresh_parse_and_put_the_new_table_in_place(dialect: str) -> None:
    first, middle, last = (
        FullRefresh("b", begins=begins, ends=ends)
        for begins, ends in ((True, False), (False, False), (False, True))
    )
    sent = {
        refresh: ScriptedEngine(dialect, ALL, new=None if refresh == first else middle).run(
            PARTITION, refresh=refresh
        )
        for refresh in (first, middle, last, None)
    }
    named = re.compile(r"__dli_(new_)?[0-9a-f]+(_[0-9a-f]+)?")
    for sql in {named.sub("__dli_1_2", sql) for found in sent.values() for sql in found}:
        assert why_unread(dialect, sql) is None, sql
    for found in sent.values():
        filled = [sql for sql in found if re.match(r"(create|insert|merge|alter)\b[^;]*?__dli_new_", sql)]
        assert filled, found
    assert [sql for sql in sent[first] if "__dli_new_" in sql and "Full refresh b." in sql]
    assert [sql for sql in sent[last] if re.search(r"(?i)(replace|rename|drop) .*orders", sql)]


def why_unread(dialect: str, sql: str) -> str | None:
    """Return why a grammar of the engine's dialect refuses a statement."""
    if dialect == "trino":
        parse_statement(sql)  # raises
        return None
    linter = Linter(config=FluffConfig(overrides={"dialect": GRAMMARS[dialect], "templater": "raw"}))
    violations = linter.parse_string(sql).violations
    return next((str(found) for found in violations if found.rule_code() in {"PRS", "LXR"}), None)


@pytest.mark.rule("37.6")
@pytest.mark.parametrize("dialect", TYPES)
def test_all_checks_are_one_statement_on_every_engine(dialect: str) -> None:
    engine = ScriptedEngine(dialect, ALL)
    engine.run("table", CHECKS)
    (counts,) = [one.sql for one in engine.sent if " as check_0" in one.sql]
    assert counts.count(" as check_") == 7


ACTS = {
    "bigquery": """\
merge into `lake`.`shop`.`orders` as target
using (select `day`, `id`, `name` from `lake`.`shop`.`STAGING`) as staged
on false
when not matched by source and target.`day` = date '2024-01-15' then delete
when not matched then insert (`day`, `id`, `name`)
values (staged.`day`, staged.`id`, staged.`name`)""",
    "databricks": """\
insert into `lake`.`shop`.`orders` replace where `day` = date '2024-01-15'
select `day`, `id`, `name` from `lake`.`shop`.`STAGING`""",
    "trino": """\
merge into "lake"."shop"."orders" as target
using (select null as dli_replaced, "day", "id", "name" from "lake"."shop"."STAGING"
union all select dli_replaced, null as "day", null as "id", null as "name"
from (select distinct "day" as dli_replaced from "lake"."shop"."orders" where "day" = date '2024-01-15') as old) as staged
on target."day" = staged.dli_replaced and target."day" = date '2024-01-15'
when matched then delete
when not matched and staged.dli_replaced is null then insert ("day", "id", "name")
values (staged."day", staged."id", staged."name")""",
    "spark": """\
merge into `lake`.`shop`.`orders` as target
using (select null as dli_replaced, `day`, `id`, `name` from `lake`.`shop`.`STAGING`
union all select dli_replaced, null as `day`, null as `id`, null as `name`
from (select distinct `day` as dli_replaced from `lake`.`shop`.`orders` where `day` = date '2024-01-15') as old) as staged
on target.`day` = staged.dli_replaced and target.`day` = date '2024-01-15'
when matched then delete
when not matched and staged.dli_replaced is null then insert (`day`, `id`, `name`)
values (staged.`day`, staged.`id`, staged.`name`)""",
}


@pytest.mark.rule("35.30")
@pytest.mark.parametrize("dialect", ACTS)
def test_one_statement_replaces_a_partition(dialect: str) -> None:
    engine = ScriptedEngine(dialect, ALL)
    sent = engine.run(PARTITION)
    (act,) = [sql for sql in sent if sql.startswith(("merge", "insert into `lake`.`shop`.`orders` r"))]
    assert " ".join(act.split()) == " ".join(ACTS[dialect].replace("STAGING", staging(sent)).split())


def staging(sent: list[str]) -> str:
    """Return the name of the attempt's staging table."""
    created = next(sql for sql in sent if sql.startswith("create table"))
    return created.partition("__dli_")[1] + created.partition("__dli_")[2].split()[0].strip('`"')


@pytest.mark.rule("35.31")
@pytest.mark.parametrize("dialect", TYPES)
def test_each_attempt_has_a_staging_table_of_its_own_and_drops_the_others(dialect: str) -> None:
    names = set()
    for _ in range(2):
        sent = ScriptedEngine(dialect, ALL).run("table")
        names.add(staging(sent))
        old = next(number for number, sql in enumerate(sent) if sql.startswith("drop table if exists"))
        new = next(number for number, sql in enumerate(sent) if sql.startswith("create table"))
        assert "__dli_old" in sent[old]
        assert old < new
    assert len(names) == 2


@pytest.mark.rule("35.31")
@pytest.mark.parametrize("dialect", TYPES)
def test_an_attempt_whose_staging_table_is_gone_publishes_nothing(dialect: str) -> None:
    engine = ScriptedEngine(dialect, ALL)
    engine.overtaken = True
    with pytest.raises(MaterializationFailed, match="A later attempt of this dataset has begun to build"):
        engine.run("table")


@pytest.mark.rule("35.30")
@pytest.mark.parametrize("dialect", sorted(TYPES.keys() - {"redshift"}))
@pytest.mark.parametrize("form", ["table", "view"])
def test_a_new_table_or_view_says_from_the_act_on_who_has_built_it(dialect: str, form: str) -> None:
    sent = ScriptedEngine(dialect, kind=form).run(form)
    (act,) = [number for number, sql in enumerate(sent) if "Built by the dataset shop.orders." in sql]
    assert all("orders" not in sql or sql.startswith(_ASKS) for sql in sent[:act])


_ASKS = ("select", "describe", "show", "with")


@pytest.mark.rule("37.16")
@pytest.mark.parametrize(
    ("dialect", "declared", "found", "same"),
    [
        ("snowflake", "integer", "NUMBER(38, 0)", True),
        ("snowflake", "integer", "NUMBER(18, 2)", False),
        ("snowflake", "decimal(10, 2)", "NUMBER(10, 2)", True),
        ("clickhouse", "integer", "UInt8", True),
        ("clickhouse", "text", "LowCardinality(Nullable(String))", True),
        ("clickhouse", "date", "Date32", True),
        ("clickhouse", "timestamp", "DateTime64(3)", True),
        ("clickhouse", "date", "DateTime", False),
        ("bigquery", "integer", "INT64", True),
    ],
)
def test_types_are_compared_as_each_engine_describes_them(
    dialect: str, declared: str, found: str, same: bool
) -> None:
    assert is_same_type(declared, found, dialect) is same


@pytest.mark.rule("35.10", "35.13", "35.30")
@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "spark", "trino"])
@pytest.mark.parametrize(
    ("how", "key", "rows"),
    [
        ("replace_all", "day", [(FIRST, 1, "n"), (FIRST, 2, "n")]),
        ("replace_partition", "day", [(None, 8, "o"), (FIRST, 1, "n"), (FIRST, 2, "n"), (SECOND, 9, "o")]),
        ("merge", "id", [(None, 8, "o"), (FIRST, 1, "n"), (FIRST, 2, "n"), (FIRST, 7, "o"), (SECOND, 9, "o")]),
        ("append", "id", [(None, 8, "o"), *[(FIRST, i, s) for i, s in ((1, "n"), (1, "o"), (2, "n"), (7, "o"))],
                          (SECOND, 9, "o")]),
    ],
)  # fmt: skip
def test_the_act_does_to_the_rows_what_it_should_on_an_engine_that_reads_it(
    dialect: str, how: How, key: str, rows: list[tuple[object, ...]]
) -> None:
    """DuckDB reads the same MERGE, DELETE and INSERT, in quotes of its own."""
    engine = engine_sql(dialect)
    assert engine is not None
    act = Act(
        how=how,
        kind="table",
        target=("target_table",),
        staging=("staged_table",),
        columns=ALL,
        condition=f"{engine.quoted('day')} = date '2024-01-15'" if how == "replace_partition" else "",
        target_condition=f"target.{engine.quoted('day')} = date '2024-01-15'"
        if how == "replace_partition"
        else "",
        keys=(key,),
    )
    old = "(null, 8, 'o'), ('2024-01-15', 1, 'o'), ('2024-01-15', 7, 'o'), ('2024-01-16', 9, 'o')"
    new = "('2024-01-15', 1, 'n'), ('2024-01-15', 2, 'n')"
    with duckdb.connect() as connection:
        for name, values in (("target_table", old), ("staged_table", new)):
            connection.execute(f"create table {name} (day date, id int, name text)")
            connection.execute(f"insert into {name} values {values}")
        for sql in engine.publish(act):
            whole_table = sql.replace("replace where true", "by position")  # DuckDB has no such INSERT
            if whole_table != sql:
                connection.execute("delete from target_table")
            connection.execute(whole_table.replace("`", '"'))
        found = connection.execute("select * from target_table").fetchall()
    assert sorted(found, key=repr) == sorted(rows, key=repr)


@pytest.mark.rule("35.30")
@pytest.mark.parametrize("dialect", TYPES)
@pytest.mark.parametrize("form", ["table", "view", PARTITION, MERGE])
def test_a_preview_shows_the_statements_of_every_engine(dialect: str, form: str) -> None:
    yaml = (
        "name: shop.orders\ntype: Dataset\nowner: e@example.com\nquery_statement: select day, id from shop.clicks\n"
        f"materialization: {form}\n{'' if form == 'view' else PARAMETERS}"
    )
    spec = parse_spec(yaml.encode(), file="a.yaml")
    values = resolve_run(spec, {} if form == "view" else {"execution_date": "2024-01-15"})
    found = preview_run(spec, {}, values, yaml=yaml.encode(), file="a.yaml", dialect=dialect)
    assert not [warning for warning in found.warnings if "would fail" in warning]
    assert any("__dli_<hash>_<attempt>" in sql for sql in found.publishing)
    assert not any("?" in sql or "None" in sql for sql in found.publishing)


@pytest.mark.rule("35.1")
@pytest.mark.parametrize("dialect", TYPES)
def test_a_missing_schema_is_made_and_one_that_is_there_is_not(dialect: str) -> None:
    for has_schema, made in ((True, 0), (False, 1)):
        engine = ScriptedEngine(dialect)
        engine.has_schema = has_schema
        sent = engine.run("table")
        assert len([sql for sql in sent if re.match("create (schema|database) if not exists", sql)]) == made
        asked = [one for one in engine.sent if one.continue_on_error]
        assert all(one.name == "inspect" for one in asked)


@pytest.mark.rule("35.1")
def test_what_need_not_be_there_is_no_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    asked = RenderedStatement("inspect", "", "materialization", continue_on_error=True, file=None)
    with caplog.at_level("INFO"):
        StatementLog(logging.getLogger("task")).passed_over(StatementFailed(asked, ValueError("no table")))
    ((_, level, message),) = caplog.record_tuples
    assert (level, message.endswith("no table. Going on: it need not be there.")) == (logging.INFO, True)


@pytest.mark.rule("35.32")
def test_a_format_without_atomic_writes_is_refused_before_the_rows_are_read() -> None:
    engine = ScriptedEngine("spark")
    engine.format = "parquet"
    with pytest.raises(
        MaterializationFailed, match="Spark made a parquet table; rows are published in tables of Ice"
    ):
        engine.run("table")
    assert not [one for one in engine.sent if one.sql.startswith("insert")]
