"""The eight tables of TPC-H, small and always the same.

They have TPC-H's columns, keys and values; there are more suppliers for the orders than at
its scale factor, so that queries which look for one nation or one kind of part find rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import duckdb

SUPPLIERS, PARTS, CUSTOMERS, ORDERS = 100, 400, 150, 1500
SUPPLIERS_OF_A_PART = 4

REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
NATIONS = {
    "ALGERIA": 0, "ARGENTINA": 1, "BRAZIL": 1, "CANADA": 1, "EGYPT": 4, "ETHIOPIA": 0, "FRANCE": 3, "GERMANY": 3,
    "INDIA": 2, "INDONESIA": 2, "IRAN": 4, "IRAQ": 4, "JAPAN": 2, "JORDAN": 4, "KENYA": 0, "MOROCCO": 0,
    "MOZAMBIQUE": 0, "PERU": 1, "CHINA": 2, "ROMANIA": 3, "SAUDI ARABIA": 4, "VIETNAM": 2, "RUSSIA": 3,
    "UNITED KINGDOM": 3, "UNITED STATES": 1,
}  # fmt: skip
COLORS = ["almond", "forest", "green", "lemon", "navy", "plum"]
TYPES = [
    " ".join(words)
    for words in product(
        ["STANDARD", "MEDIUM", "ECONOMY", "PROMO"], ["ANODIZED", "POLISHED"], ["STEEL", "BRASS", "COPPER"]
    )
]
CONTAINERS = [
    " ".join(words) for words in product(["SM", "LG", "MED"], ["CASE", "BOX", "BAG", "PACK", "PKG"])
]
SIZES = [3, 9, 14, 15, 19, 23, 36, 45, 49, 1, 2, 4]
SEGMENTS = ["AUTOMOBILE", "BUILDING", "FURNITURE", "MACHINERY", "HOUSEHOLD"]
PRIORITIES = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"]
INSTRUCTIONS = ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"]
MODES = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"]
FIRST_DAY, DAYS = date(1992, 1, 1), 2405
TODAY = date(1995, 6, 17)

SCHEMA = """
create table region (r_regionkey integer, r_name varchar, r_comment varchar);
create table nation (n_nationkey integer, n_name varchar, n_regionkey integer, n_comment varchar);
create table supplier (s_suppkey integer, s_name varchar, s_address varchar, s_nationkey integer, s_phone varchar,
  s_acctbal decimal(15, 2), s_comment varchar);
create table part (p_partkey integer, p_name varchar, p_mfgr varchar, p_brand varchar, p_type varchar, p_size integer,
  p_container varchar, p_retailprice decimal(15, 2), p_comment varchar);
create table partsupp (ps_partkey integer, ps_suppkey integer, ps_availqty integer, ps_supplycost decimal(15, 2),
  ps_comment varchar);
create table customer (c_custkey integer, c_name varchar, c_address varchar, c_nationkey integer, c_phone varchar,
  c_acctbal decimal(15, 2), c_mktsegment varchar, c_comment varchar);
create table orders (o_orderkey integer, o_custkey integer, o_orderstatus varchar, o_totalprice decimal(15, 2),
  o_orderdate date, o_orderpriority varchar, o_clerk varchar, o_shippriority integer, o_comment varchar);
create table lineitem (l_orderkey integer, l_partkey integer, l_suppkey integer, l_linenumber integer,
  l_quantity decimal(15, 2), l_extendedprice decimal(15, 2), l_discount decimal(15, 2), l_tax decimal(15, 2),
  l_returnflag varchar, l_linestatus varchar, l_shipdate date, l_commitdate date, l_receiptdate date,
  l_shipinstruct varchar, l_shipmode varchar, l_comment varchar);
"""

Row = tuple[Any, ...]


def fill(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the tables in a database; files for the way there go into a folder."""
    connection.execute(SCHEMA)
    for table, rows in tables().items():
        file = folder / f"{table}.csv"
        with file.open("w", newline="") as opened:
            csv.writer(opened).writerows(rows)
        connection.execute(f"copy {table} from '{file}' (format csv, header false)")


def tables() -> dict[str, list[Row]]:
    """Return the rows of each table."""
    random = Random(7)
    orders, lines = _orders(random)
    return {
        "region": [(key, name, "") for key, name in enumerate(REGIONS)],
        "nation": [(key, name, region, "") for key, (name, region) in enumerate(NATIONS.items())],
        "supplier": [_supplier(random, key) for key in range(1, SUPPLIERS + 1)],
        "part": [_part(random, key) for key in range(1, PARTS + 1)],
        "partsupp": list(_stock(random)),
        "customer": [_customer(random, key) for key in range(1, CUSTOMERS + 1)],
        "orders": orders,
        "lineitem": lines,
    }


def _phone(nation: int) -> str:
    return f"{nation + 10}-555-0100"


def _supplier(random: Random, key: int) -> Row:
    nation = key % len(NATIONS)
    comment = "Customer sees Complaints" if key % 10 == 0 else "quick deposits"
    return (
        key,
        f"Supplier#{key:09}",
        f"street {key}",
        nation,
        _phone(nation),
        _money(random, -999, 9999),
        comment,
    )


def _part(random: Random, key: int) -> Row:
    name = " ".join(random.sample(COLORS, 2))
    maker = random.randint(1, 5)
    brand = f"Brand#{maker}{random.randint(1, 5)}"
    kind, size, container = random.choice(TYPES), random.choice(SIZES), random.choice(CONTAINERS)
    if key % 20 == 0:  # the one that the seventeenth query looks for
        maker, brand, container = 2, "Brand#23", "MED BOX"
    return key, name, f"Manufacturer#{maker}", brand, kind, size, container, 900 + key / 10, ""


def suppliers_of(part: int) -> list[int]:
    """Return who sells a part."""
    return [
        (part + place * SUPPLIERS // SUPPLIERS_OF_A_PART) % SUPPLIERS + 1
        for place in range(SUPPLIERS_OF_A_PART)
    ]


def _stock(random: Random) -> Iterator[Row]:
    for part in range(1, PARTS + 1):
        for supplier in suppliers_of(part):
            yield part, supplier, random.randint(1, 9999), _money(random, 1, 1000), ""


def _customer(random: Random, key: int) -> Row:
    nation = random.randrange(len(NATIONS))
    segment = random.choice(SEGMENTS)
    return (
        key,
        f"Customer#{key:09}",
        f"street {key}",
        nation,
        _phone(nation),
        _money(random, -999, 9999),
        segment,
        "",
    )


def _orders(random: Random) -> tuple[list[Row], list[Row]]:
    orders, lines = [], []
    for key in range(1, ORDERS + 1):
        ordered = FIRST_DAY + timedelta(days=random.randrange(DAYS))
        # A few large ones, for the eighteenth query.
        least, length = (44, 7) if key % 100 == 0 else (1, random.randint(1, 7))
        own = [_line(random, key, number, ordered, least) for number in range(1, length + 1)]
        states = {line[9] for line in own}
        status = states.pop() if len(states) == 1 else "P"
        # As in TPC-H, a third of the customers orders nothing.
        customer = random.choice([key for key in range(1, CUSTOMERS + 1) if key % 3])
        total = round(sum(line[5] for line in own), 2)
        comment = "special packages, requests" if key % 20 == 0 else "even accounts"
        orders.append(
            (key, customer, status, total, ordered, random.choice(PRIORITIES), "Clerk#1", 0, comment)
        )
        lines += own
    return orders, lines


def _line(random: Random, order: int, number: int, ordered: date, least: int) -> Row:
    part = random.randint(1, PARTS)
    quantity = random.randint(least, 50)
    shipped = ordered + timedelta(days=random.randint(1, 121))
    promised = ordered + timedelta(days=random.randint(30, 90))
    received = shipped + timedelta(days=random.randint(1, 30))
    flag = random.choice("RA") if received <= TODAY else "N"
    status = "O" if shipped > TODAY else "F"
    return (
        order, part, random.choice(suppliers_of(part)), number, quantity, round(quantity * (900 + part / 10), 2),
        random.randint(0, 10) / 100, random.randint(0, 8) / 100, flag, status, shipped, promised, received,
        random.choice(INSTRUCTIONS), random.choice(MODES), "",
    )  # fmt: skip


def _money(random: Random, least: int, most: int) -> float:
    return random.randint(least * 100, most * 100) / 100
