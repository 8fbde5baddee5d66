"""`dli dataset register` of several datasets: in the order of the graph, one line each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

ORDERS, DAILY, WEEKLY, OTHER = "sales.orders", "sales.a_daily", "sales.a_weekly", "other"


def write(project: Path, name: str, more: str = "") -> Path:
    path = project / "datasets" / f"dataset.{name}.yaml"
    path.write_text(spec_of(name, more=more))
    return path


@pytest.fixture
def chain(basecamp: Basecamp, project: Path) -> Path:
    """A project in which two datasets depend on one, which sorts last, and one stands alone."""
    write(project, ORDERS)
    write(project, DAILY, f"depends_on: [{ORDERS}]\n")
    write(project, WEEKLY, f"depends_on: [{DAILY}]\n")
    write(project, OTHER)
    return project


def registered(dli: Dli) -> set[str]:
    return {row["name"] for row in json.loads(dli("dataset", "list", "--registered", "-f", "json").out)}


@pytest.mark.rule("22.40")
def test_all_datasets_are_registered_upstream_first_with_one_line_each(chain: Path, dli: Dli) -> None:
    result = dli("dataset", "register", "--all")
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert sorted(lines) == [f"Registered: {name}" for name in sorted((OTHER, DAILY, WEEKLY, ORDERS))]
    places = [lines.index(f"Registered: {name}") for name in (ORDERS, DAILY, WEEKLY)]
    assert places == sorted(places)
    assert registered(dli) == {ORDERS, DAILY, WEEKLY, OTHER}


@pytest.mark.rule("22.40")
def test_names_paths_and_patterns_are_taken_and_json_is_a_list(chain: Path, dli: Dli) -> None:
    result = dli("dataset", "register", "sales.*", f"datasets/dataset.{OTHER}.yaml", OTHER, "-f", "json")
    assert result.status == 0, result.err
    names = [item["name"] for item in json.loads(result.out)]
    assert sorted(names) == sorted((ORDERS, DAILY, WEEKLY, OTHER))
    assert names.index(ORDERS) < names.index(DAILY) < names.index(WEEKLY)
    assert isinstance(json.loads(dli("dataset", "register", OTHER, "-f", "json").out), dict)


@pytest.mark.rule("22.40")
def test_a_failure_leaves_out_what_depends_on_it_and_nothing_else(chain: Path, dli: Dli) -> None:
    write(chain, ORDERS, "tagz: []\n")
    result = dli("dataset", "register", "--all")
    assert (result.status, result.out) == (2, f"Registered: {OTHER}\n")
    assert result.err.startswith(f"Not registered: {ORDERS}: Invalid Dataset Spec.\n")
    assert f"Not registered: {DAILY}: It depends on {ORDERS}, which was not registered.\n" in result.err
    assert f"Not registered: {WEEKLY}: It depends on {DAILY}, which was not registered.\n" in result.err
    assert registered(dli) == {OTHER}


@pytest.mark.rule("22.40")
def test_a_refusal_of_the_server_leaves_out_what_depends_on_it(
    basecamp: Basecamp, chain: Path, dli: Dli
) -> None:
    basecamp.put_code(DAILY, spec_of(DAILY))
    result = dli("dataset", "register", "--all")
    assert (result.status, sorted(result.out.splitlines())) == (
        4,
        [f"Registered: {OTHER}", f"Registered: {ORDERS}"],
    )
    assert f"{DAILY}:\nWarning: This dataset already exists in Code path.\n" in result.err
    assert f"Not registered: {DAILY}: Not registered.\n" in result.err
    assert f"Not registered: {WEEKLY}: It depends on {DAILY}" in result.err
    assert dli("dataset", "register", "--all", "--yes").status == 0


@pytest.mark.rule("22.40")
def test_a_name_that_two_files_define_fails_alone(chain: Path, dli: Dli) -> None:
    (chain / "datasets" / "dataset.zzz.yaml").write_text(spec_of(OTHER))
    result = dli("dataset", "register", "--all")
    assert result.status == 2
    assert f"Registered: {WEEKLY}" in result.out
    assert "duplicate dataset name 'other'" in result.err


@pytest.mark.rule("22.40")
@pytest.mark.parametrize(
    ("arguments", "status"), [((), 2), (("--all", OTHER), 2), (("no.*",), 3), ((OTHER, "no.such"), 3)]
)
def test_a_wrong_selection_registers_nothing(
    chain: Path, dli: Dli, arguments: tuple[str, ...], status: int
) -> None:
    result = dli("dataset", "register", *arguments)
    assert (result.status, result.out) == (status, "")
    assert registered(dli) == set()
