"""Values that are meant to break out, on real engines: each is written and read back equal, or refused before.

Any statement that a value brought along would run: the connections take several at once where the
driver lets them, and a table stands there to be dropped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pymysql.constants.CLIENT import MULTI_STATEMENTS

from dataspec.engines.string_rules import settle_string_rules
from hostile_values import TEXTS, near, rendered, typed
from mariadb import MariaDB
from postgres import Postgres

pytestmark = pytest.mark.xdist_group("engines")  # one start of each server

DROP = "\\'; drop table canary; select 1 -- "


@dataclass(frozen=True, slots=True)
class Engine:
    """A connection to an engine, with a table that must not go."""

    dialect: str
    connection: Any
    cursor: Any

    def ask(self, sql: str) -> tuple[str, list[Any]]:
        """Run a SELECT of one row; return its first column's name, and the row."""
        self.cursor.execute(sql)
        name, (row,) = self.cursor.description[0][0], self.cursor.fetchall()
        self.cursor.execute("select alive from canary")
        assert [tuple(alive) for alive in self.cursor.fetchall()] == [(1,)]
        return name, list(row)


@pytest.fixture(scope="module", params=["duckdb", "sqlite", "postgres", "mysql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn; MariaDB by its dialect's name."""
    if request.param == "duckdb":
        connection: Any = duckdb.connect()
    elif request.param == "sqlite":
        connection = sqlite3.connect(":memory:")
    elif request.param == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        connection = psycopg.connect(postgres.fresh().url, autocommit=True)
    else:
        mariadb: MariaDB = request.getfixturevalue("mariadb")
        connection = mariadb.connect(client_flag=MULTI_STATEMENTS)
    cursor = connection.cursor()
    cursor.execute("drop table if exists canary")
    cursor.execute("create table canary as select 1 as alive")
    yield Engine(request.param, connection, cursor)
    connection.close()


def itself(value: str) -> str:
    return value


PLAIN: dict[str, Callable[[str], str]] = {
    "select '{{ x }}'": itself,
    "select coalesce('a{{ x }}b{{ x }}', '{{ x }}')": lambda value: f"a{value}b{value}",
    "select '{{ x }}' /* {{ x }} */ -- {{ x }}": itself,
    "select v from (select '{{ x }}' as v) as t where v in ('{{ x }}', 'other')": itself,
    "select v from (select '{{ x }}' as v) as t where v in ({{ [x, 'other'] }})": itself,
}
"""Strings as they stand in nearly all SQL, on every engine, and what comes back."""

CONTINUED = {
    "select 'a'\n'{{ x }}'": lambda value: f"a{value}",
    "select 'a' -- more\n'{{ x }}'": lambda value: f"a{value}",
    "select 'a'\n{{ [x] }}": lambda value: f"a{value}",
}
ESCAPING = {
    "select E'{{ x }}'": itself,
    "select E'a'\n'{{ x }}'": lambda value: f"a{value}",
    "select e'a'\n'b'\n'{{ x }}'": lambda value: f"ab{value}",
    "select E'a' -- more\n'{{ x }}'": lambda value: f"a{value}",
    "select E'a'\n{{ [x] }}": lambda value: f"a{value}",
    "select $${{ x }}$$": itself,
    "select $q${{ x }}$q$": itself,
}
OF = {
    "duckdb": {**CONTINUED, **ESCAPING},
    "sqlite": {},
    "postgres": {
        **CONTINUED,
        **ESCAPING,
        "select U&'{{ x }}'": itself,
        "select U&'a'\n'{{ x }}'": lambda value: f"a{value}",
        "select U&'a'\n'{{ x }}' UESCAPE '!'": lambda value: f"a{value}",
        "select U&'{{ x }}' UESCAPE 'z'": itself,
        "select N'{{ x }}'": itself,
        "select U&{{ [x] }}": itself,
    },
    "mysql": {
        **CONTINUED,
        'select "{{ x }}"': itself,
        "select 'a' '{{ x }}'": lambda value: f"a{value}",
        "select 'a' \"{{ x }}\"": lambda value: f"a{value}",
        "select \"a\"\n'{{ x }}'": lambda value: f"a{value}",
        "select N'{{ x }}'": itself,
        "select _utf8mb4'{{ x }}'": itself,
        "select _utf8mb4 '{{ x }}'": itself,
        "select _gbk {{ [x] }}": itself,
        "select '{{ x }}' # {{ x }}": itself,
    },
}  # fmt: skip
"""What an engine reads by rules of its own."""

NAMES = {
    "duckdb": ['select 1 as "{{ x }}"'],
    "sqlite": ['select 1 as "{{ x }}"', "select 1 as `{{ x }}`", "select 1 as [{{ x }}]"],
    "postgres": ['select 1 as "{{ x }}"', 'select 1 as U&"{{ x }}"', "select 1 as U&\"{{ x }}\" UESCAPE 'z'"],
    "mysql": ["select 1 as `n{{ x }}`"],  # it leaves out what can't be seen at the start of an alias
}
LONGEST_NAME = 63
"""In bytes: PostgreSQL cuts a longer one off, MariaDB refuses it."""
BARE = ["select {{ x }}", "select 1, {{ x }}", "select - -{{ x }}"]


def as_text(kind: str, value: Any) -> str:
    return str(value).lower() if kind == "boolean" else str(value)


@pytest.mark.rule("9.3")
@given(typed(), st.data())
def test_an_engine_gives_back_the_very_text_and_loses_no_table(
    engine: Engine, given_: tuple[str, Any], data: st.DataObject
) -> None:
    places = {**PLAIN, **OF[engine.dialect]}
    place = data.draw(st.sampled_from(sorted(places)))
    text = as_text(*given_)
    sql = rendered(place, engine.dialect, text if "[x" in place else given_[1])
    if sql is not None:
        assert engine.ask(sql)[1] == [places[place](text)]


@pytest.mark.rule("9.5")
@given(TEXTS, st.data())
def test_an_engine_gives_back_the_very_name(engine: Engine, value: str, data: st.DataObject) -> None:
    assume(value.strip() and len(value.encode(errors="replace")) <= LONGEST_NAME)
    place = data.draw(st.sampled_from(NAMES[engine.dialect]))
    sql = rendered(place, engine.dialect, value)
    if sql is not None:
        assert engine.ask(sql) == (f"n{value}" if "n{{" in place else value, [1])


@pytest.mark.rule("9.4")
@given(typed(), st.sampled_from(BARE))
@example(("float", 7.890886683888251e-305), BARE[0])
def test_an_engine_gives_back_what_stands_without_quotes(
    engine: Engine, given_: tuple[str, Any], place: str
) -> None:
    kind, value = given_
    sql = rendered(place, engine.dialect, value)
    assert (sql is None) or kind not in {"string", "date", "datetime"}, "text without quotes is refused"
    assume(place != "select - -{{ x }}" or kind in {"integer", "float"})
    if sql is not None:
        expected = value if kind == "list" else [value]
        found = engine.ask(sql)[1][-len(expected) :]
        assert all(near(got, meant, engine.dialect) for got, meant in zip(found, expected, strict=True))


@pytest.mark.parametrize("place", sorted(PLAIN))
@pytest.mark.parametrize(
    "value", ["it's", 'say "hi"', "a\\b", "\\", "'; drop table canary; --", "100 %s %% :x ?"]
)
def test_what_stands_in_usual_places_is_written(engine: Engine, place: str, value: str) -> None:
    sql = rendered(place.split(" /*", maxsplit=1)[0], engine.dialect, value)
    assert sql is not None
    assert engine.ask(sql)[1] == [PLAIN[place](value)]


SETTINGS = {
    "postgres": ["set standard_conforming_strings = off"],
    "mysql": [
        "set session sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "set session sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
        "set session sql_mode = 'ORACLE'",
    ],
}
BACK = {"postgres": "reset standard_conforming_strings", "mysql": "set session sql_mode = default"}


@pytest.mark.rule("9.17")
@given(TEXTS, st.data())
@example(DROP, None)
def test_a_setting_that_the_spec_changes_lets_no_value_out(
    engine: Engine, value: str, data: st.DataObject | None
) -> None:
    for setting in SETTINGS.get(engine.dialect, ()):
        engine.cursor.execute(setting)
        try:
            place = data.draw(st.sampled_from(sorted(PLAIN))) if data else "select '{{ x }}'"
            sql = rendered(place, engine.dialect, value, unsettled=True)
            if sql is not None:
                assert engine.ask(sql)[1] == [PLAIN[place](value)]
        finally:
            engine.cursor.execute(BACK[engine.dialect])


@pytest.fixture(scope="module")
def in_gbk(mariadb: MariaDB) -> Iterator[Any]:
    """A cursor of a session that was set to another character set, in which the driver goes on to send UTF-8."""
    with mariadb.connect(client_flag=MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
        cursor.execute("create or replace table canary as select 1 as alive")
        cursor.execute("set names gbk")
        cursor.execute("set character_set_results = binary")
        yield cursor


@given(
    TEXTS | st.text(st.sampled_from("\u4e2d\u00bf\u8868\\'\"`; -drop"), max_size=8),
    st.sampled_from(["select '{{ x }}' as v, 7", 'select "{{ x }}" as v, 7', "select 1 as `v{{ x }}`, 7"]),
)
@example("\u4e2d" + DROP, "select '{{ x }}' as v, 7")
@example("\u4e2d", "select 1 as `v{{ x }}`, 7")
def test_a_session_in_another_character_set_lets_no_value_out(in_gbk: Any, value: str, place: str) -> None:
    sql = rendered(place, "mysql", value, unsettled=True)
    if sql is not None:
        in_gbk.execute(sql)
        ((_, seven),) = in_gbk.fetchall()
        assert (seven, in_gbk.nextset()) == (7, None)
        in_gbk.execute("select alive from canary")
        assert in_gbk.fetchall() == ((1,),)


STRICT = {
    "postgres": "set standard_conforming_strings = off",
    "mysql": "set session sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
}


@pytest.mark.rule("9.16")
@given(TEXTS, st.sampled_from(sorted(PLAIN)))
@example(DROP, "select '{{ x }}'")
def test_a_setting_of_the_server_s_gives_way_to_the_rules_that_values_are_written_by(
    engine: Engine, value: str, place: str
) -> None:
    if engine.dialect not in STRICT:
        return
    engine.cursor.execute(STRICT[engine.dialect])
    settle_string_rules(SimpleNamespace(conn_type=engine.dialect), engine.connection, engine.cursor)
    sql = rendered(place, engine.dialect, value)
    if sql is not None:
        assert engine.ask(sql)[1] == [PLAIN[place](value)]
    engine.cursor.execute(BACK[engine.dialect])
