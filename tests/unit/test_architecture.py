"""docs/architecture.md names functions that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
WALK = PAGE.partition("### The way of a parameter")[2].partition("###")[0]


def functions() -> Iterator[str]:
    """Yield the name of each function, those of a class and of a module of calls with its name before it."""
    for file in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from (node.name, f"{file.stem}.{node.name}")
            elif isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
                        yield f"{node.name}.{part.targets[0].id}"
                    elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                        yield f"{node.name}.{part.name}"


def test_the_way_of_a_parameter_names_functions_that_exist_and_counts_them() -> None:
    steps = re.findall(r"^\| (?!step|---)[^|]+ \| ([^|]+) \|$", WALK, re.MULTILINE)
    named = {name for step in steps for name in re.findall(r"`([\w.]+)`", step)}
    assert sorted(named - {*functions()}) == []
    stated = re.search(
        r"(\d+) functions [^:]+: (\d+) in the command line, (\d+) on the server, (\d+) to Airflow, (\d+) on",
        WALK,
    )
    assert stated is not None
    total, *parts = map(int, stated.groups())
    assert total == sum(parts) == len(named)
