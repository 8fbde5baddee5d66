"""``examples/jaffle_shop``: a project of SELECTs on seeds, and what it builds."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pytest

from unit.dli.conftest import Dli

EXAMPLE = Path(__file__).parents[4] / "examples" / "jaffle_shop"
METHODS = ("credit_card", "coupon", "bank_transfer", "gift_card")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ours = tmp_path / "shop"
    shutil.copytree(EXAMPLE, ours, ignore=shutil.ignore_patterns("*.duckdb*", ".dli", ".basecamp"))
    monkeypatch.chdir(ours)
    return ours


def seed(name: str) -> list[dict[str, str]]:
    with (EXAMPLE / "seeds" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.rule("35.3", "35.15", "36.10", "37.9")
def test_the_shop_builds_what_its_seeds_say_and_passes_its_checks(dli: Dli, shop: Path) -> None:
    result = dli("dataset", "run", "--all", "-f", "json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert {step["status"] for step in found} == {"COMPLETED"}
    assert {check["status"] for step in found for check in step["checks"]} == {"passed"}
    with duckdb.connect(str(shop / "warehouse.duckdb"), read_only=True) as warehouse:
        customers = warehouse.sql("from jaffle_shop.customers order by all").fetchall()
        orders = warehouse.sql("from jaffle_shop.orders order by all").fetchall()
    paid: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for payment in seed("raw_payments"):
        paid[payment["order_id"]][payment["payment_method"]] += int(payment["amount"]) // 100
    assert [(row[0], row[1], str(row[2]), row[3], *row[4:]) for row in orders] == [
        (int(it["id"]), int(it["user_id"]), it["order_date"], it["status"],
         *(paid[it["id"]][method] for method in METHODS), paid[it["id"]].total())
        for it in seed("raw_orders")
    ]  # fmt: skip
    own: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for order in seed("raw_orders"):
        own[order["user_id"]].append(order)
    for row, it in zip(customers, seed("raw_customers"), strict=True):
        dates = sorted(order["order_date"] for order in own[it["id"]]) or ["None"]
        worth = sum(paid[order["id"]].total() for order in own[it["id"]]) if own[it["id"]] else None
        assert (*map(str, row[:5]), row[5] or 0, row[6]) == (
            it["id"], it["first_name"], it["last_name"], dates[0], dates[-1], len(own[it["id"]]), worth
        )  # fmt: skip


def test_the_shop_is_a_hundred_lines_of_yaml_and_sql() -> None:
    files = [*EXAMPLE.rglob("*.yaml"), *EXAMPLE.rglob("*.sql")]
    lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) <= 110


@pytest.mark.rule("23.1")
def test_nothing_is_wrong_with_the_shop(dli: Dli, shop: Path) -> None:
    checked = dli("dataset", "validate", "--strict")
    assert checked.status == 0, checked.err


@pytest.mark.rule("10.16")
def test_each_column_of_the_shop_leads_to_the_views_and_is_described_as_it_is(dli: Dli, shop: Path) -> None:
    found = json.loads(dli("dataset", "show", "jaffle_shop.orders", "--columns", "-f", "json").out)["columns"]
    assert [column["unknown"] for column in found] == [None] * 9
    sources = {
        column["name"]: sorted(f"{source['table']}.{source['column']}" for source in column["sources"])
        for column in found
    }
    orders, payments = "jaffle_shop.stg_orders", "jaffle_shop.stg_payments"
    paid = [f"{payments}.amount", f"{payments}.payment_method"]
    assert sources == {
        **{name: [f"{orders}.{name}"] for name in ("order_id", "customer_id", "order_date", "status")},
        **{f"{method}_amount": paid for method in METHODS},
        "amount": [f"{payments}.amount"],
    }
    assert dli("dataset", "run", "--all").status == 0
    with duckdb.connect(str(shop / "warehouse.duckdb"), read_only=True) as warehouse:
        built = warehouse.sql("describe jaffle_shop.orders").fetchall()
    assert [(column["name"], column["type"].lower()) for column in found] == [
        (name, kind.lower()) for name, kind, *_ in built
    ]
