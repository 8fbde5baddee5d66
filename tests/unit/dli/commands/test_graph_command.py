from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.dli.conftest import Dli


def write(project: Path, name: str, sql: str, more: str = "") -> None:
    head = f"name: {name}\ntype: Dataset\nowner: dana@example.com\n"
    (project / "datasets" / f"{name}.yaml").write_text(f"{head}query_statement: {sql}\n{more}")


@pytest.fixture
def shop(project: Path) -> Path:
    """Four datasets, an outer table, a dependency that is not there, and one that the SQL alone tells."""
    write(project, "s.orders", "select * from raw.orders")
    write(project, "s.lines", "select * from s.orders", "depends_on: [s.orders, gone]\n")
    write(project, "s.sums", "select * from s.lines, s.orders", "depends_on: [s.lines]\n")
    write(project, "s.alone", "select 1")
    return project


@pytest.mark.rule("22.23")
def test_each_dataset_stands_under_what_it_is_built_from_and_is_followed_once(dli: Dli, shop: Path) -> None:
    result = dli("dataset", "graph")
    assert (result.status, result.err) == (0, "")
    assert result.out == (
        "gone (not in this project)\n"
        "└── s.lines\n"
        "    └── s.sums\n"
        "raw.orders (source)\n"
        "└── s.orders\n"
        "    ├── s.lines (above)\n"
        "    └── s.sums (not in depends_on) (above)\n"
        "s.alone\n"
    )


@pytest.mark.rule("22.23")
@pytest.mark.parametrize("named", ["s.lines", "datasets/s.lines.yaml"])
def test_with_a_name_both_directions_are_shown(dli: Dli, shop: Path, named: str) -> None:
    assert dli("dataset", "graph", named).out == (
        "s.lines\n"
        "\n"
        "Built from:\n"
        "├── gone (not in this project)\n"
        "└── s.orders\n"
        "    └── raw.orders (source)\n"
        "\n"
        "Needed by:\n"
        "└── s.sums\n"
    )
    assert (
        dli("dataset", "graph", "s.alone").out == "s.alone\n\nBuilt from:\nnothing\n\nNeeded by:\nnothing\n"
    )


def test_a_name_that_the_project_does_not_have_is_answered_with_the_nearest(dli: Dli, shop: Path) -> None:
    result = dli("dataset", "graph", "s.line")
    assert (result.status, "Did you mean 's.lines'?" in result.err) == (3, True)
    assert dli("dataset", "graph", "datasets/x.yaml").status == 3


@pytest.mark.rule("22.23")
def test_mermaid_has_every_node_once_and_dots_what_only_depends_on_tells(dli: Dli, shop: Path) -> None:
    assert dli("dataset", "graph", "s.lines", "-f", "mermaid").out == (
        "flowchart LR\n"
        '    n0["gone"]:::missing\n'
        '    n1[("raw.orders")]\n'
        '    n2["s.orders"]\n'
        '    n3["s.lines"]\n'
        '    n4["s.sums"]\n'
        "    n0 -.-> n3\n"
        "    n1 --> n2\n"
        "    n3 --> n4\n"
        "    n2 --> n3\n"
        "    n2 --> n4\n"
        "    classDef missing stroke-dasharray: 4\n"
    )


@pytest.mark.rule("22.23")
def test_dot_is_a_digraph_whose_names_are_quoted(dli: Dli, project: Path) -> None:
    write(project, "a", """'select * from raw."x""y"'""")
    write(project, "b", "select 1", "depends_on: [a]\n")
    assert dli("dataset", "graph", "-f", "dot").out == (
        "digraph datasets {\n"
        "    rankdir=LR\n"
        "    node [shape=box]\n"
        '    n0 [label="raw.x\\"y"] [shape=cylinder]\n'
        '    n1 [label="a"]\n'
        '    n2 [label="b"]\n'
        "    n1 -> n2 [style=dashed]\n"
        "    n0 -> n1\n"
        "}\n"
    )


@pytest.mark.rule("22.23")
def test_json_has_the_datasets_in_order_and_what_each_edge_rests_on(dli: Dli, shop: Path) -> None:
    report = json.loads(dli("dataset", "graph", "-f", "json").out)
    assert [dataset["name"] for dataset in report["datasets"]] == ["s.alone", "s.orders", "s.lines", "s.sums"]
    assert report["datasets"][1] == {
        "name": "s.orders",
        "file": "datasets/s.orders.yaml",
        "valid": True,
        "builds": [],
        "sources": ["raw.orders"],
        "missing": [],
        "unknown": [],
    }
    assert report["edges"][2] == {
        "upstream": "s.orders",
        "downstream": "s.sums",
        "declared": False,
        "found": True,
        "tables": ["s.orders"],
    }
    assert report["cycles"] == []
    assert dli("-f", "json", "dataset", "graph").out == dli("dataset", "graph", "-f", "json").out


@pytest.mark.rule("22.23")
def test_broken_specs_and_cycles_are_drawn_with_a_warning(dli: Dli, project: Path) -> None:
    write(project, "a", "select 1", "depends_on: [b]\n")
    write(project, "b", "select 1", "depends_on: [a]\ntagz: []\n")
    result = dli("dataset", "graph")
    assert (result.status, result.out) == (0, "a\n└── b\n    └── a (above)\n")
    assert result.err == (
        "Warning: datasets/a.yaml is not valid: dli dataset validate datasets/a.yaml\n"
        "Warning: datasets/b.yaml is not valid: dli dataset validate datasets/b.yaml\n"
        "Warning: These datasets depend on each other: a → b → a\n"
    )


def test_a_table_that_only_a_run_names_is_told(dli: Dli, project: Path) -> None:
    write(project, "a", "select * from {{ t | identifier }}", "parameters: [{name: t, type: string}]\n")
    assert dli("dataset", "graph").err == (
        "Warning: datasets/a.yaml:4:18: A run alone tells which table it reads: {{ t }}.\n"
    )


def test_a_long_chain_is_drawn(dli: Dli, project: Path) -> None:
    for number in range(120):
        write(project, f"d{number:03}", "select 1", f"depends_on: [d{number - 1:03}]\n" if number else "")
    assert dli("dataset", "graph").out.splitlines()[-1].endswith("└── d119")


def test_a_project_without_specs_has_no_graph(dli: Dli, project: Path) -> None:
    assert dli("dataset", "graph").status == 3
