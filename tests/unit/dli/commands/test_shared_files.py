"""A project's macro files in its commands: checked, run, published, registered, shown and versioned with what uses them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.web.views import read_dataset
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.sql.rendering import render_statements
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from dli.project.project import Project
from dli_airflow.mirror.dataset import Dataset
from unit.dli.published import planned, publish, seen, wanted

if TYPE_CHECKING:
    from pathlib import Path

    from unit.dli.basecamp import Basecamp
    from unit.dli.conftest import Dli

DATES = """\
{% macro month_start(day) %}date_trunc('month', date '{{ day }}'){% endmacro %}
"""
RANGES = """\
{% import 'macros/dates.sql' as dates %}
{% macro month(day) %}{{ dates.month_start(day) }} as month{% endmacro %}
"""
MONTHS = """\
name: shop.months
type: Dataset
owner: ann@example.com
query_file: months.sql
execution: {dialect: duckdb}
parameters: [{name: execution_date, type: date}]
"""
MONTHS_SQL = """\
{% import 'macros/ranges.sql' as ranges %}
create or replace table months as select {{ ranges.month(execution_date) }}
"""
OTHER = """\
name: shop.other
type: Dataset
owner: ann@example.com
query_statement: create or replace table other as select 1 as n
execution: {dialect: duckdb}
"""


@pytest.fixture
def shop(project: Path) -> Path:
    """A project of two datasets, one of which uses two of its three macro files."""
    (project / "dli.yaml").write_text("name: shop\n")
    files = {
        "datasets/months.yaml": MONTHS,
        "datasets/months.sql": MONTHS_SQL,
        "datasets/other.yaml": OTHER,
        "macros/dates.sql": DATES,
        "macros/ranges.sql": RANGES,
        "macros/unused.sql": "{% macro unused() %}{% endmacro %}",
    }
    for path, text in files.items():
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text(text)
    return project


def project_in(root: Path) -> Project:
    return Project(root, root / "datasets")


@pytest.mark.rule("36.1", "36.7")
def test_a_dataset_has_the_macro_files_that_it_uses_and_runs_with_them(shop: Path, dli: Dli) -> None:
    files = project_in(shop).find("shop.months").sql
    assert files == {"months.sql": MONTHS_SQL, "macros/ranges.sql": RANGES, "macros/dates.sql": DATES}
    assert project_in(shop).find("shop.other").sql == {}
    result = dli("dataset", "validate", "--all")
    assert (result.status, result.err) == (0, "")
    assert dli("dataset", "run", "shop.months", "-p", "execution_date=2024-05-17").status == 0
    result = dli("dataset", "run", "shop.months", "-p", "execution_date=2024-05-17", "--dry-run")
    assert "date_trunc('month', date '2024-05-17') as month" in result.out


@pytest.mark.rule("36.6")
def test_a_macros_mistake_is_shown_once_at_its_place_and_at_each_use(
    shop: Path, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "macros" / "dates.sql").write_text(DATES.replace("{{ day }}", "{{ dya }}"))
    (shop / "datasets" / "again.yaml").write_text(MONTHS.replace("shop.months", "shop.again"))
    told = "macros/dates.sql:1:58: 'dya' is not defined: a macro sees its arguments alone."
    result = dli("dataset", "validate")
    assert result.status == 2
    assert result.err.count(f"\n       {told}") == 1
    assert f"datasets/months.sql:1:12: the macro file can't be used: {told}" in result.err
    assert dli("dataset", "run", "shop.months", "-p", "execution_date=2024-05-17").status == 2
    monkeypatch.chdir(shop.parent)
    result = dli("dataset", "validate", "--path", "project")
    assert f"\n       project/{told}" in result.err


@pytest.mark.rule("36.6")
def test_wrong_sql_of_a_macro_is_told_at_its_use_and_its_place(shop: Path, dli: Dli) -> None:
    (shop / "macros" / "dates.sql").write_text(DATES.replace("date_trunc(", "date_trnc("))
    result = dli("dataset", "run", "shop.months", "-p", "execution_date=2024-05-17")
    assert "datasets/months.sql:2: macros/dates.sql:1:29: Catalog Error" in result.err
    (shop / "macros" / "dates.sql").write_text(
        "{% macro month_start(day) %}\n'{{ day }}' thne 1{% endmacro %}"
    )
    result = dli("dataset", "validate", "shop.months")
    assert "datasets/months.sql:2: not valid duckdb: macros/dates.sql:2:18: " in result.err
    result = dli("dataset", "run", "shop.months", "-p", "execution_date=2024-05-17", "--dry-run")
    assert "macros/dates.sql:2:18: " in result.err


@pytest.mark.rule("36.4")
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file.write_bytes(b"\n\xff"), "macros/dates.sql:2:1: the byte 0xff is not UTF-8"),
        (lambda file: file.write_bytes(b" " * 1024 * 1025), "macros/dates.sql:1:1: the file has 1,025 KiB"),
        (lambda file: file.rename(file.with_name("date.sql")), ("macros/ranges.sql:1:12: there is no macro file "
         "'macros/dates.sql' in the project's folder. Did you mean 'macros/date.sql'?")),
        (lambda file: (file.unlink(), file.symlink_to("/etc/hosts")), "the file is outside the project"),
    ],
)  # fmt: skip
def test_a_macro_file_that_can_not_be_used_is_told_at_its_place(
    shop: Path, dli: Dli, damage: object, problem: str
) -> None:
    assert callable(damage)
    damage(shop / "macros" / "dates.sql")
    result = dli("dataset", "validate", "shop.months")
    assert result.status == 2
    assert problem in result.err
    assert "\n       datasets/months.sql:1:12: " in result.err


@pytest.mark.rule("36.8")
def test_a_publish_stores_the_macros_with_each_dataset_that_uses_them(shop: Path) -> None:
    store = MemoryStore()
    publish(store, project_in(shop))
    assert seen(store) == wanted(project_in(shop))
    assert seen(store)["shop.months"].files["macros/dates.sql"] == DATES
    before = {name: release.spec_hash for name, release in seen(store).items()}
    plan = publish(store, project_in(shop))
    assert plan.changes == ()
    (shop / "macros" / "unused.sql").write_text("{% macro changed() %}{% endmacro %}")
    assert planned(store, project_in(shop)).changes == ()
    (shop / "macros" / "dates.sql").write_text(DATES.replace("month'", "year'"))
    (change,) = planned(store, project_in(shop)).changes
    assert (change.action, change.name, change.changed) == ("change", "shop.months", ("SQL",))
    assert change.note == "macros/dates.sql changed"
    publish(store, project_in(shop))
    after = {name: release.spec_hash for name, release in seen(store).items()}
    assert after["shop.months"] != before["shop.months"]
    assert after["shop.other"] == before["shop.other"]


@pytest.mark.rule("36.8")
def test_a_plain_copy_in_code_has_no_macros(shop: Path) -> None:
    store = MemoryStore()
    for path in ("datasets/months.yaml", "datasets/months.sql", "macros/dates.sql", "macros/ranges.sql"):
        key = f"code/{path.removeprefix('datasets/')}"
        store.put(key, (shop / path).read_bytes(), expected=MISSING)
    (row,) = CatalogReader(store, MemorySpecCache()).read().files
    assert row.error is not None
    told = str(row.error.problems[0])
    assert told.startswith("code/months.sql:1:12: there is no macro file 'macros/ranges.sql'")
    assert "publish it with dli code publish" in told
    publish(store, project_in(shop))
    assert seen(store) == wanted(project_in(shop))


@pytest.mark.rule("36.8")
def test_airflows_machines_render_with_the_stored_macros(shop: Path) -> None:
    store = MemoryStore()
    publish(store, project_in(shop))
    sent = Dataset.of(CatalogReader(store, MemorySpecCache()).read().effective["shop.months"])
    dataset = Dataset.from_json(json.loads(json.dumps(sent.to_json())))
    values = {"execution_date": "2024-05-17"}
    (statement,) = render_statements(dataset.spec, dataset.files, values, dialect="duckdb", file=dataset.key)
    assert statement.sql.endswith("select date_trunc('month', date '2024-05-17') as month")


@pytest.mark.rule("36.8", "36.9")
def test_a_registered_version_has_its_macros_and_shows_them(shop: Path, dli: Dli, basecamp: Basecamp) -> None:
    assert dli("dataset", "register", "shop.months").status == 0
    found = basecamp.services.registered_specs.get("shop.months")
    assert found.files == project_in(shop).find("shop.months").sql
    result = dli("dataset", "show", "shop.months", "--registered", "--sql")
    assert f"-- macros/dates.sql\n{DATES}" in result.out
    assert dli("dataset", "show", "shop.months").out.count("macros/") == 2
    view = read_dataset(basecamp.services, "shop.months", None, PermittedDatasets())
    assert [sql.title for sql in view.sql] == ["query · months.sql", "macros/dates.sql", "macros/ranges.sql"]
    (shop / "macros" / "dates.sql").write_text(DATES.replace("month'", "year'"))
    result = dli("dataset", "diff", "shop.months")
    assert "macros/dates.sql" in result.out
    assert dli("dataset", "register", "shop.months", "--yes").status == 0
    rows = json.loads(dli("dataset", "versions", "shop.months", "-f", "json").out)
    assert len({row["spec_hash"] for row in rows}) == 2
    assert dli("dataset", "rollback", "shop.months", rows[1]["spec_hash"], "--yes").status == 0
    assert basecamp.services.registered_specs.get("shop.months").files["macros/dates.sql"] == DATES
    assert dli("dataset", "update", "shop.months", "--cron", "0 5 * * *").status == 0
    assert basecamp.services.registered_specs.get("shop.months").files["macros/dates.sql"] == DATES


@pytest.mark.rule("36.8", "36.10")
def test_a_seed_is_run_published_and_hashed_with_the_dataset_that_uses_it(shop: Path, dli: Dli) -> None:
    (shop / "seeds").mkdir()
    seed = shop / "seeds" / "countries.csv"
    seed.write_text("code,name\nDE,Germany\n")
    (shop / "datasets" / "other.yaml").write_text(
        OTHER.replace("select 1 as n", "select * from {{ seed('countries') }}")
    )
    assert project_in(shop).find("shop.other").sql == {"seeds/countries.csv": seed.read_text()}
    assert dli("dataset", "validate").status == 0
    assert "Germany" in dli("dataset", "run", "shop.other").out
    store = MemoryStore()
    publish(store, project_in(shop))
    assert seen(store) == wanted(project_in(shop))
    before = seen(store)["shop.other"].spec_hash
    seed.write_text("code,name\nDE,Deutschland\n")
    (change,) = planned(store, project_in(shop)).changes
    assert (change.name, change.note) == ("shop.other", "seeds/countries.csv changed")
    publish(store, project_in(shop))
    assert seen(store)["shop.other"].spec_hash != before


@pytest.mark.rule("36.13")
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"code\nDE,Germany\n", "seeds/countries.csv:2:1: the line has 2 fields, and the header has 1 field."),
        (b"code\nD\xcb\n", "seeds/countries.csv:2:2: the byte 0xcb is not UTF-8"),
        (b"a\n" + b"x\n" * 6_000_000, "seeds/countries.csv:1:1: the file has 11,718 KiB; at most 10,240 are allowed."),
    ],
)  # fmt: skip
def test_a_wrong_seed_is_told_at_its_place_and_at_its_use(
    shop: Path, dli: Dli, body: bytes, problem: str
) -> None:
    (shop / "seeds").mkdir()
    (shop / "seeds" / "countries.csv").write_bytes(body)
    (shop / "datasets" / "other.yaml").write_text(
        OTHER.replace("select 1 as n", "select * from {{ seed('countries') }}")
    )
    result = dli("dataset", "validate", "shop.other")
    assert result.status == 2
    assert problem in result.err
    assert "(2 problems)" in result.err
    assert "datasets/other.yaml:4:" in result.err


@pytest.mark.rule("36.1", "36.10")
def test_the_rows_of_a_select_with_a_macro_and_a_seed_are_stored(shop: Path, dli: Dli) -> None:
    (shop / "seeds").mkdir()
    (shop / "seeds" / "days.csv").write_text("day\n2024-05-17\n")
    (shop / "datasets" / "months.yaml").write_text(f"{MONTHS}materialization: table\n")
    (shop / "datasets" / "months.sql").write_text(
        "{% import 'macros/ranges.sql' as ranges %}\n"
        "select day, {{ ranges.month(execution_date) }} from {{ seed('days') }} where day = '{{ execution_date }}'\n"
    )
    assert dli("dataset", "validate", "shop.months").status == 0
    result = dli("dataset", "run", "shop.months", "-p", "execution_date=2024-05-17")
    assert result.status == 0, result.err
    assert "2024-05-17   2024-05-01" in result.out
