"""`dli workflow pause` and `unpause` of several datasets, and of patterns."""

from __future__ import annotations

import json

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of
from unit.dli.terminal import on_terminal


@pytest.fixture
def sales(basecamp: Basecamp) -> Basecamp:
    """A server with three datasets of sales, one of them in both sources, and one other."""
    for name in ("sales.a", "sales.b", "other"):
        basecamp.put_manual(name, spec_of(name))
    basecamp.put_code("sales.c", spec_of("sales.c"))
    basecamp.put_manual("sales.c", spec_of("sales.c"))
    return basecamp


def paused(dli: Dli) -> dict[str, str | None]:
    """Return the paused datasets with their reasons."""
    rows = json.loads(dli("workflow", "list", "-f", "json").out)
    return {
        row["dataset_name"]: row["pause_reason"]
        for row in rows
        if row["paused"] and row["status"] != "overridden"
    }


@pytest.mark.rule("22.38")
def test_several_names_are_paused_and_resumed_without_a_question(sales: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "pause", "other", "sales.a", "--reason", "new source")
    assert (result.status, result.out) == (0, "Paused: other\nPaused: sales.a\n")
    assert paused(dli) == {"other": "new source", "sales.a": "new source"}
    assert dli("workflow", "pause", "other", "sales.a").err.startswith("other: It was paused already.\n")
    result = dli("workflow", "unpause", "other", "sales.a")
    assert (result.status, result.out) == (0, "Unpaused: other\nUnpaused: sales.a\n")
    assert paused(dli) == {}


@pytest.mark.rule("22.38")
def test_a_pattern_means_what_is_not_paused_yet_and_is_no_overridden_spec(sales: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "pause", "sales.b").status == 0
    result = dli("workflow", "pause", "sales.*", "--yes")
    assert (result.status, result.out) == (0, "Paused: sales.a\nPaused: sales.c\n")
    found = dli("workflow", "unpause", "sales.*", "-y", "-f", "json")
    assert [row["dataset_name"] for row in json.loads(found.out)] == ["sales.a", "sales.b", "sales.c"]
    assert paused(dli) == {}


@pytest.mark.rule("22.38")
def test_a_pattern_is_refused_where_nobody_can_be_asked(sales: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "pause", "sales.*", "other")
    assert (result.status, result.out) == (4, "")
    assert result.err.splitlines() == [
        "Error: 4 datasets would be paused.",
        "       other",
        "       sales.a",
        "       sales.b",
        "       sales.c",
        "       Confirm with --yes.",
    ]
    assert paused(dli) == {}


@pytest.mark.rule("22.38")
def test_a_pattern_asks_on_a_terminal(sales: Basecamp, dli: Dli) -> None:
    question = "Pause 3 datasets? [y/N]:"
    no = on_terminal(["workflow", "pause", "sales.*"], keys=[(question, "n\r")])
    assert (no.status, "sales.c" in no.text, "Nothing was paused." in no.text) == (4, True, True)
    yes = on_terminal(["workflow", "pause", "sales.*"], keys=[(question, "y\r")])
    assert (yes.status, "Paused: sales.c" in yes.text) == (0, True)


@pytest.mark.rule("22.38")
def test_a_pattern_that_matches_nothing_changes_nothing(sales: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "unpause", "sales.*")
    assert (result.status, result.out) == (0, "")
    assert result.err == "No dataset that can be unpaused matches sales.*.\n"


@pytest.mark.rule("22.38")
def test_one_that_is_refused_does_not_stop_the_others(sales: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "pause", "sales.a", "no.such", "sales.b")
    assert (result.status, result.out) == (3, "Paused: sales.a\nPaused: sales.b\n")
    assert result.err.startswith("Not paused: no.such: Dataset not found.")
    result = dli("workflow", "unpause", "sales.a", "other")
    assert (result.status, result.out) == (4, "Unpaused: sales.a\n")
    assert result.err.startswith("Not unpaused: other: This dataset is not paused.")
