"""``dli workflow graph``: what depends on what on the server."""

from __future__ import annotations

import json

import pytest

from dli import Client
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of


@pytest.fixture
def chain(basecamp: Basecamp) -> Basecamp:
    """A server with ``a`` before ``b``, ``b`` before ``c``, and an upstream of ``a`` that is not registered."""
    for name, upstream in (("a", "gone"), ("b", "a"), ("c", "b")):
        basecamp.put_code(name, spec_of(name, more=f"depends_on: [{upstream}]\n"), {})
    return basecamp


@pytest.mark.rule("32.4")
def test_it_draws_each_dataset_below_its_upstream_with_its_state(chain: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "graph")
    assert result.status == 0, result.err
    assert result.out == (
        "gone (not registered)\n└── a (code, active)\n    └── b (code, active)\n        └── c (code, active)\n"
    )


@pytest.mark.rule("32.4")
def test_of_one_dataset_it_draws_both_directions(chain: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "graph", "b")
    assert result.out == (
        "b (code, active)\n\nBuilt from:\n└── a (code, active)\n    └── gone (not registered)\n\n"
        "Needed by:\n└── c (code, active)\n"
    )
    assert dli("workflow", "graph", "bb").status == 3


@pytest.mark.rule("32.4")
def test_mermaid_dot_and_json_have_the_states(chain: Basecamp, dli: Dli) -> None:
    assert '["a<br/>code, active"]' in dli("workflow", "graph", "--format", "mermaid").out
    assert '[label="a\\ncode, active"]' in dli("workflow", "graph", "-f", "dot").out
    found = json.loads(dli("workflow", "graph", "-f", "json").out)
    assert [node["name"] for node in found["datasets"]] == ["a", "b", "c"]
    assert found["datasets"][0]["missing"] == ["gone"]
    assert [(edge["upstream"], edge["downstream"]) for edge in found["edges"]] == [("a", "b"), ("b", "c")]


@pytest.mark.rule("32.4")
def test_the_client_returns_the_graph_as_objects(chain: Basecamp) -> None:
    with Client(chain.url) as client:
        graph = client.get_graph("c")
    assert [(node.name, node.status) for node in graph.datasets] == [
        ("a", "active"),
        ("b", "active"),
        ("c", "active"),
    ]
    assert graph.edges[0].declared
