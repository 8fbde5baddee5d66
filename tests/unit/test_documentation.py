from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from dataspec.project.spec_checks import check_valid
from dataspec.spec.dialects import ConnectionDialect
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_document
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.template.filters import FILTERS
from dataspec.sql.validation import check_spec

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *REPOSITORY.glob("examples/**/*.md")]
WIDTH = 120


def blocks(page: str, language: str) -> list[str]:
    text = (REPOSITORY / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_both_readmes_show_the_same_commands_and_the_same_dataset() -> None:
    def bare(language: str, page: str) -> list[str]:
        return [re.sub(r" +#.*", "", block) for block in blocks(page, language)]

    for language in ("yaml", "sh", "bash", "text", "console"):
        assert bare(language, "README.md") == bare(language, "README.ko.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_dataset_in_the_documentation_is_a_sound_spec(page: Path) -> None:
    datasets = [
        text for text in blocks(page.relative_to(REPOSITORY).as_posix(), "yaml") if "type: Dataset" in text
    ]
    for text in datasets:
        document = read_document(text.encode(), page.name)
        sql = dict.fromkeys(parse_document(document).files, "select 1 as n")
        spec = check_spec(text.encode(), sql, file=page.name)
        dialect = {spec.execution.connection: ConnectionDialect("duckdb")}
        unsound = check_valid(spec, sql, document, dialects=dialect).problems
        assert [str(problem) for problem in unsound if "is not checked" in problem.message] == []


def test_the_library_for_sqlfluff_has_the_filters_that_jinja_lacks() -> None:
    library: dict[str, Any] = {}
    exec(blocks("docs/local-runs.md", "python")[0], library)
    assert library["SQLFLUFF_JINJA_FILTERS"].keys() == FILTERS.keys()


def test_every_key_of_a_spec_is_documented() -> None:
    page = (REPOSITORY / "docs/dataset-spec.md").read_text()
    table = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    for key in keys(DatasetSpec):
        assert f"`{key}`" in table or f"`{key.rpartition('.')[2]}`" in table, key


def keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Yield every key that holds a value, with the keys around it."""
    for name, info in model.model_fields.items():
        key = f"{before}{info.alias or name}"
        within = list(parts(info.annotation))
        for inner in within:
            yield from keys(inner, f"{key}.")
        if not within:
            yield key


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a key holds one of; those in lists are documented as a whole."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel) and "list" not in str(annotation):
            yield inner


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", prose(page))
    targets = [(page.parent / path if path else page, heading) for path, heading in links]
    missing = [str(target) for target, _ in targets if not target.exists()]
    assert missing == []
    assert [heading for target, heading in targets if heading and heading not in anchors(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_block_of_yaml_can_be_read(page: Path) -> None:
    for text in blocks(page.relative_to(REPOSITORY).as_posix(), "yaml"):
        assert yaml.safe_load(text), text


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the names by which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_names_every_page_once() -> None:
    named = re.findall(r"^\| \[([\w-]+\.md)\]", (DOCS / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_line_outside_tables_and_code_has_at_most_120_characters(page: Path) -> None:
    lines = prose(page).splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("|")] == []


def test_every_test_that_the_page_of_promises_names_exists() -> None:
    text = (REPOSITORY / "docs/reliability.md").read_text()
    tests = {
        f"{path.name}::{name}"
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    files = {test.partition("::")[0] + "::*" for test in tests}
    assert set(re.findall(r"`(test_\w+\.py::(?:\w+|\*))`", text)) - tests - files == set()
