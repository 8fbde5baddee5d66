"""What is small to write and endless to take in ends within seconds and some hundred MiB, on the real parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bombs
from dataspec.errors import DliError
from dataspec.sql.template.render import check_template, render

TESTS = Path(__file__).parents[3]
MAX_SECONDS = 5
MAX_MIB = 300


def gone_off(kind: str) -> list[dict[str, Any]]:
    """Return what each bomb of a kind took, each in a process of its own."""
    command = [sys.executable, str(TESTS / "bomb_runner.py"), kind]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.rule("9.12")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.xdist_group(f"bombs {kind}"))
        for kind in ("templates", "sql", "yaml")
    ],
)
def test_every_bomb_ends_within_seconds_and_the_process_survives(kind: str) -> None:
    known = {"templates": bombs.TEMPLATES, "sql": bombs.SQL, "yaml": bombs.YAML}[kind]
    found = gone_off(kind)
    assert [one["name"] for one in found] == list(known)
    assert [one for one in found if one["died"] or one["cpu"] > MAX_SECONDS or one["mib"] > MAX_MIB] == []


PARTS = [
    "a", "1", "'x'", "9999999", "range(9)", "range(99999)", "[1, 2]", "{'a': 1}", "n", "n.a", "loop", "m", "m()", "self",
    "'%99999d'", "'a' * 99999", "2 ** 64", "none", "a.upper", "dict", "namespace(a=1)", "caller",
]  # fmt: skip
OPERATORS = [
    " + ",
    " * ",
    " ** ",
    " ~ ",
    " % ",
    " - ",
    " // ",
    " / ",
    " == ",
    " in ",
    " < ",
    " and ",
    " or ",
    " if a else ",
]
FILTERS = [
    "", " | list", " | join('x' * 999)", " | map('upper')", " | map('string')", " | string", " | length", " | sort", " | sum",
    " | replace('a', 'aaaa')", " | int", " | round(99)", " | format(1)", " | batch(99, 0)", " | tojson", "[0]", "[::2]",
    ".split('a')", ".replace('', 'aaaa')", ".join('abc')", ".zfill(99)", " is even", " is in(n.a)", "()", ".items()",
    " | groupby(0)", " | unique", " | map('_slot', 1, 1, 'a')", " | center(99999999)", " | dictsort", " | default(1)",
]  # fmt: skip
expressions = st.recursive(
    st.sampled_from(PARTS),
    lambda inner: st.tuples(st.just("("), inner, st.sampled_from(OPERATORS), inner, st.just(")"), st.sampled_from(FILTERS))
    .map("".join)
    | st.tuples(st.just("("), inner, st.just(")"), st.sampled_from(FILTERS)).map("".join),
    max_leaves=6,
)  # fmt: skip


@st.composite
def statements(draw: st.DrawFn, depth: int = 3) -> str:
    """Make a template that loops, calls and doubles."""
    kinds = ["print", "quoted", "set", "namespace"] + (["for", "if", "block", "macro"] if depth else [])
    inside = "".join(draw(st.lists(statements(depth - 1), max_size=2))) if depth else ""
    value = draw(expressions)
    return {
        "print": f"{{{{ {value} }}}}",
        "quoted": f"'{{{{ {value} }}}}'",
        "set": f"{{% set a = {value} %}}",
        "namespace": f"{{% set n.a = {value} %}}",
        "for": f"{{% for a in {value} %}}{inside}{{% endfor %}}",
        "if": f"{{% if {value} %}}{inside}{{% else %}}x{{% endif %}}",
        "block": f"{{% set a %}}{inside}{{% endset %}}",
        "macro": f"{{% macro m(a) %}}{inside}{{% endmacro %}}",
    }[draw(st.sampled_from(kinds))]


@pytest.mark.rule("9.12")
@given(st.lists(statements(), min_size=1, max_size=4).map("".join))
def test_any_template_is_rendered_or_refused(body: str) -> None:
    sql = "{% set n = namespace(a=[1, 'aa']) %}{% macro m() %}{{ a }}{% endmacro %}" + body
    check_template(sql, ["a"], file="q.sql")
    assert 0 <= len(outcome(sql)) < 10 * bombs.MIB


def outcome(sql: str) -> str:
    """Return the SQL that a template makes, or why it makes none."""
    try:
        return render(sql, {"a": "x"}, dialect="duckdb", file="q.sql").sql
    except DliError as error:
        return str(error.detail)[:10_000]
