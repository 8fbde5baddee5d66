from __future__ import annotations

import re
from pathlib import Path

import pytest

from traceability import PAGE, REPOSITORY, SPECIFICATION, Rule, marked_tests, page, sections

TEXT = SPECIFICATION.read_text(encoding="utf-8")
RULES = [rule for _, rules in sections(TEXT) for rule in rules]
NUMBERS = {rule.number for rule in RULES}
CITATION = re.compile(r"specification\s+(\d+\.\d+(?:(?:,| and| to)\s+\d+\.\d+)*)")
CITING = sorted(
    path
    for folder, suffix in (("src", "py"), ("tests", "py"), ("docs", "md"))
    for path in (REPOSITORY / folder).rglob(f"*.{suffix}")
)


def test_every_rule_is_read_and_its_number_stands_once_in_order() -> None:
    numbers = re.findall(r"^- \*\*(\d+)\.(\d+)\*\*", TEXT, re.MULTILINE)
    assert [rule.number for rule in RULES] == [".".join(number) for number in numbers]
    pairs = [(int(section), int(rule)) for section, rule in numbers]
    assert pairs == sorted(set(pairs))


def test_every_rule_stands_in_the_section_of_its_number() -> None:
    for heading, rules in sections(TEXT):
        section = heading.partition(".")[0]
        assert [rule.number for rule in rules if rule.number.split(".")[0] != section] == []


def test_every_rule_names_a_module_that_exists() -> None:
    assert [f"{rule.number}: {rule.module}" for rule in RULES if not _exists(rule.module)] == []


def _exists(module: str) -> bool:
    path = REPOSITORY / "src" / module.replace(".", "/")
    return path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()


def test_every_rule_has_a_test() -> None:
    assert NUMBERS - set(marked_tests()) == set(), "mark a test of each with @pytest.mark.rule"


def test_every_mark_names_a_rule_that_exists() -> None:
    unknown = {number: tests for number, tests in marked_tests().items() if number not in NUMBERS}
    assert unknown == {}


def test_every_citation_of_the_specification_names_a_rule_that_exists() -> None:
    assert [citation for path in CITING for citation in _unknown(path)] == []


def _unknown(path: Path) -> list[str]:
    cited = CITATION.findall(path.read_text(encoding="utf-8"))
    numbers = [number for citation in cited for number in re.findall(r"\d+\.\d+", citation)]
    return [f"{path.relative_to(REPOSITORY)}: {number}" for number in numbers if number not in NUMBERS]


def test_the_page_of_traceability_is_that_of_the_marks() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python tests/traceability.py"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("One. Two.", "One."),
        ("It has `a. B` in\n  it. `Two` follows.", "It has `a. B` in it."),
        ("It prints:\n\n  ```text\n  x\n  ```", "It prints:"),
        (f"Long, {'word ' * 40}and so on.", f"Long, {'word ' * 30}…"),
        (f"Long {'word ' * 29}`a b c d e f g h i`.", f"Long {'word ' * 29}…"),
    ],
)
def test_the_page_shows_the_first_sentence_of_a_rule(text: str, summary: str) -> None:
    assert Rule("1.1", text, "dataspec").summary == summary
