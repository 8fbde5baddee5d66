"""The columns of tables that other datasets build: from their queries, else from their specs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dataspec.project.columns import UpstreamColumns, described
from dataspec.project.graph import DatasetGraph, GraphDataset
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_spec
from dataspec.sql.lineage.column_lineage import ColumnLineage, column_lineage_of
from unit.dataspec.specs import spec_text


def specs(**sqls: tuple[str, str] | str) -> dict[str, DatasetSpec]:
    """Return specs of the schema ``s``, each from its SQL and, if there is one, the text of its ``schema``."""
    found = {}
    for name, given in sqls.items():
        sql, schema = given if isinstance(given, tuple) else (given, "")
        extra = f"schema: [{schema}]\n" if schema else ""
        found[f"s.{name}"] = parse_spec(spec_text(f"s.{name}", sql=sql, extra=extra).encode(), file="a.yaml")
    return found


def known(found: Mapping[str, DatasetSpec], *tables: str, hidden: str = "") -> dict[str, tuple[str, ...]]:
    """Return the columns of tables, as the specs tell them."""

    def read(name: str, columns: Mapping[str, tuple[str, ...]]) -> ColumnLineage:
        return column_lineage_of(found[name], {}, columns)

    graph = DatasetGraph(GraphDataset.of(spec, {}) for spec in found.values())
    visible = {name: spec for name, spec in found.items() if name != hidden}
    return UpstreamColumns(graph, visible.get, read).of_tables(tables)


@pytest.mark.rule("10.18")
@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ("create table s.up as select a, b + 1 as C from raw.t", ("a", "C")),
        (
            ("create table s.up as select a from raw.t", "{name: z, type: text}"),
            ("a",),
        ),  # the query is the truth
        (("create table s.up as select * from raw.t", "{name: z, type: text}"), ("z",)),
        (
            ("insert into s.up (a) select a from raw.t", "{name: a, type: int}, {name: b, type: int}"),
            ("a", "b"),
        ),
        ("insert into s.up (a) select a from raw.t", None),
        ("create table s.up as select * from raw.t", None),
        ("create table s.other as select a from raw.t", None),
    ],
)
def test_the_query_tells_the_columns_of_its_table_and_else_the_schema(
    upstream: tuple[str, str] | str, expected: tuple[str, ...] | None
) -> None:
    assert known(specs(up=upstream), "s.up", "raw.t").get("s.up") == expected


@pytest.mark.rule("10.18")
def test_a_star_is_followed_from_dataset_to_dataset() -> None:
    found = specs(
        first="create table s.first as select a, b from raw.t",
        second="create table s.second as select *, a + b as c from s.first",
        third="create table s.third as select * from s.second",
    )
    assert known(found, "wh.s.third") == {"wh.s.third": ("a", "b", "c")}
    assert known(found, "s.third", hidden="s.first") == {}


@pytest.mark.rule("10.18")
def test_datasets_that_read_each_other_end_at_what_is_declared() -> None:
    found = specs(
        one=("create table s.one as select * from s.two", "{name: a, type: int}"),
        two="create table s.two as select * from s.one",
    )
    assert known(found, "s.two") == {"s.two": ("a",)}


@pytest.mark.rule("10.18")
def test_a_table_that_two_datasets_write_tells_nothing() -> None:
    found = specs(
        up="create table s.up as select a from raw.t", more="insert into s.up select a, b from raw.t"
    )
    assert known(found, "s.up") == {}


@pytest.mark.rule("22.44")
def test_columns_have_the_types_and_descriptions_of_the_schema() -> None:
    schema = "{name: A, type: int, description: The first.}, {name: z, type: text}"
    (spec,) = specs(up=("create table s.up as select a, b from raw.t", schema)).values()
    columns = described(spec, column_lineage_of(spec, {}, {}))
    assert [(column.name, column.type, column.description) for column in columns] == [
        ("a", "int", "The first."),
        ("b", None, None),
    ]
    (spec,) = specs(up=("create table s.up as select * from raw.t", schema)).values()
    columns = described(spec, column_lineage_of(spec, {}, {}))
    assert [column.name for column in columns] == ["A", "z"]
    assert all(column.unknown == "The columns of raw.t are not known." for column in columns)
