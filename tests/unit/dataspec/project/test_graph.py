from __future__ import annotations

import random

import pytest

from dataspec.errors import DatasetNotFound, InvalidUsage
from dataspec.project.graph import DatasetGraph, Edge, GraphDataset
from dataspec.sql.lineage.dataset_lineage import Lineage, TableNames, TableUse


def dataset(name: str, *depends_on: str, reads: str = "", writes: str = "") -> GraphDataset:
    read, written = (tuple(map(TableUse, tables.split())) for tables in (reads, writes))
    return GraphDataset(name, depends_on, Lineage(read, written))


def graph(*datasets: GraphDataset) -> DatasetGraph:
    return DatasetGraph(datasets)


@pytest.mark.rule("2.9", "10.9")
def test_edge_is_declared_or_found_in_the_sql_or_both() -> None:
    found = graph(
        dataset("a"),
        dataset("b", "a"),
        dataset("c", "a", reads="A"),
        dataset("d", reads="other.x a"),
    )
    assert found.edges == (
        Edge("a", "b", declared=True),
        Edge("a", "c", declared=True, tables=("A",)),
        Edge("a", "d", tables=("a",)),
    )
    assert [edge.found for edge in found.edges] == [False, True, True]
    assert found.sources("d") == ("other.x",)


def test_dataset_is_found_by_the_tables_that_its_sql_writes() -> None:
    found = graph(dataset("x", writes="wh.x"), dataset("y", reads="x"), dataset("z", reads="wh.x"))
    assert found.edges == (Edge("x", "z", tables=("wh.x",)),)


@pytest.mark.rule("10.9")
@pytest.mark.parametrize(
    ("built", "read", "found"),
    [
        ("iceberg.a.c", "a.c", "iceberg.a.c"),
        ("a.c", "iceberg.A.C", "a.c"),
        ("a.c", "a.c", "a.c"),
        ("c", "c", "c"),
        ("c", "a.c", None),
        ("a.c", "c", None),
        ("b.c", "a.c", None),
        ("one.a.c two.a.c", "a.c", None),
        ("one.a.c two.a.c", "two.a.c", "two.a.c"),
        ("one.a.c a.c", "a.c", "a.c"),
        ("one.a.c a.c", "two.a.c", "a.c"),
    ],
)
def test_table_name_may_omit_the_catalog_if_it_is_unambiguous(
    built: str, read: str, found: str | None
) -> None:
    assert TableNames(built.split()).find(read) == found


@pytest.mark.rule("10.10")
def test_order_follows_edges_then_names_and_not_the_order_of_files() -> None:
    datasets = [
        dataset("z"),
        dataset("m", "z"),
        dataset("a", "m"),
        dataset("b"),
        dataset("c", "not.here"),
        dataset("d", reads="b"),
    ]
    for _ in range(5):
        random.shuffle(datasets)
        assert graph(*datasets).order() == ("b", "c", "d", "z", "m", "a")


@pytest.mark.rule("10.10")
def test_cycles_are_complete_and_prevent_an_order() -> None:
    found = graph(
        dataset("a", "b"),
        dataset("b", reads="c"),
        dataset("c", "a", "d"),
        dataset("d", "c"),
        dataset("x", "y"),
        dataset("y", "x"),
        dataset("z", "a"),
    )
    assert found.cycles() == (("a", "b", "c"), ("x", "y"))
    with pytest.raises(InvalidUsage) as raised:
        found.order()
    assert raised.value.detail == "a → b → c → a\nx → y → x"


@pytest.mark.rule("10.15")
@pytest.mark.parametrize(
    ("names", "upstream", "steps", "reached"),
    [
        ("c", True, 0, "c"),
        ("c", True, 1, "b c"),
        ("c", True, 2, "a b c"),
        ("c", True, None, "a b c d"),
        ("a", False, 1, "a b d"),
        ("b d", False, 1, "a b c d"),
        ("", True, None, ""),
    ],
)
def test_what_is_reached_is_limited_to_a_number_of_steps_also_in_a_cycle(
    names: str, upstream: bool, steps: int | None, reached: str
) -> None:
    found = graph(dataset("d", "a"), dataset("a", "d"), dataset("b", "a"), dataset("c", "b"))
    assert found.reached(names.split(), upstream=upstream, steps=steps) == set(reached.split())


@pytest.mark.rule("10.15")
def test_order_of_some_datasets_follows_the_others_and_refuses_only_a_cycle_through_two_of_them() -> None:
    found = graph(dataset("a", "m"), dataset("m", "z"), dataset("z"), dataset("x", "y"), dataset("y", "x"))
    assert found.order({"a", "z"}) == ("z", "a")
    assert found.order({"x", "a"}) == ("a", "x")
    assert found.order(set()) == ()
    with pytest.raises(InvalidUsage) as raised:
        found.order({"x", "y"})
    assert raised.value.detail == "x → y → x"


@pytest.mark.rule("10.10")
def test_upstream_and_downstream_are_transitive_and_in_order() -> None:
    found = graph(dataset("d", "b", "c"), dataset("c", "a"), dataset("b", "a"), dataset("a"), dataset("x"))
    assert found.upstream("d") == ("a", "b", "c")
    assert found.downstream("a") == ("b", "c", "d")
    assert (found.upstream("x"), found.downstream("d")) == ((), ())
    assert [edge.upstream for edge in found.parents("d")] == ["b", "c"]
    assert [edge.downstream for edge in found.children("a")] == ["b", "c"]
    with pytest.raises(DatasetNotFound):
        found.upstream("other")


def test_upstream_of_a_cycle_is_finite() -> None:
    found = graph(dataset("a", "b"), dataset("b", "a"), dataset("c", "b"))
    assert (found.upstream("a"), found.downstream("a")) == (("b",), ("b", "c"))


def test_unknown_dependency_is_missing_and_no_edge() -> None:
    found = graph(dataset("a", "gone", "b"), dataset("b"))
    assert (found.missing("a"), [edge.upstream for edge in found.edges]) == (("gone",), ["b"])


def test_table_built_by_two_datasets_leads_to_both() -> None:
    found = graph(dataset("a", writes="s.t"), dataset("b", writes="S.T"), dataset("c", reads="s.t"))
    assert [edge.upstream for edge in found.parents("c")] == ["a", "b"]
    assert found.tables()["s.t"] == ("a", "b")
    assert not found.cycles()


def test_long_chain_of_datasets_is_ordered() -> None:
    names = [f"d{number:05}" for number in range(5000)]
    chain = [dataset(name, *names[max(place - 1, 0) : place]) for place, name in enumerate(names)]
    assert graph(*chain).order() == tuple(names)
    assert len(graph(dataset(names[0], names[-1]), *chain[1:]).cycles()[0]) == 5000
