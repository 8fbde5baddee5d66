"""The page ``docs/traceability.md``: each rule of the specification with the tests that are marked with it.

``python tests/traceability.py`` writes it anew. The marks are read from the tests' text, so nothing is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TESTS = REPOSITORY / "tests"
SPECIFICATION = REPOSITORY / "docs" / "specification.md"
PAGE = REPOSITORY / "docs" / "traceability.md"

HEAD = """\
# Traceability

Each rule of the [specification](specification.md), the module that holds it, and the tests that are marked with it.
Written by `python tests/traceability.py`; don't edit it.
"""
LONGEST = 160
"""Characters of a rule's first sentence that are shown."""

_SECTION = re.compile(r"^## (\d+\. .+)$", re.MULTILINE)
_RULE = re.compile(r"^- \*\*(\d+\.\d+)\*\* (.+?)\s+— `([\w.]+)`$", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"(?:`[^`]*`|[^`])+?\.(?= [A-Z`*]|$)")


@dataclass(frozen=True)
class Rule:
    """A rule of the specification."""

    number: str
    text: str
    module: str

    @property
    def summary(self) -> str:
        """Its first sentence, on one line."""
        paragraph = " ".join(self.text.partition("\n\n")[0].split())
        found = _SENTENCE.match(paragraph)
        sentence = found[0] if found else paragraph
        return sentence if len(sentence) <= LONGEST else _cut(sentence)


def _cut(sentence: str) -> str:
    """Cut a sentence between two words, and not within code."""
    cuts = [match.start() for match in re.finditer(" ", sentence[:LONGEST])]
    fair = [cut for cut in cuts if sentence.count("`", 0, cut) % 2 == 0]
    return sentence[: fair[-1]].rstrip(",;:") + " …"


def sections(specification: str) -> Iterator[tuple[str, list[Rule]]]:
    """Yield each section that has rules, by its heading."""
    _, *parts = _SECTION.split(specification)
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        yield heading, [Rule(*match) for match in _RULE.findall(text)]


@cache
@cache
def marked_tests() -> dict[str, list[str]]:
    """Return the tests that are marked with each rule, as `file::name`, the file from `tests/`."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for number in _numbers(node):
                    found.setdefault(number, []).append(f"{path.relative_to(TESTS).as_posix()}::{node.name}")
    return found


def _numbers(test: ast.FunctionDef) -> Iterator[str]:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.rule":
            yield from map(ast.literal_eval, decorator.args)


def page() -> str:
    """Return the page as it is to be."""
    tests = marked_tests()
    parts = [HEAD]
    for heading, rules in sections(SPECIFICATION.read_text(encoding="utf-8")):
        rows = "\n".join(_row(rule, tests.get(rule.number, [])) for rule in rules)
        parts.append(
            f"## {heading}\n\n| rule | what it says | module | tests |\n| --- | --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(parts)


def _row(rule: Rule, tests: list[str]) -> str:
    proofs = "<br>".join(f"`{test}`" for test in tests)
    summary = rule.summary.replace("|", r"\|")
    return f"| {rule.number} | {summary} | `{rule.module}` | {proofs} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
