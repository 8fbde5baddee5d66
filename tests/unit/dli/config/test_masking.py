from __future__ import annotations

import pytest

from dli.config.masking import masked


@pytest.mark.rule("21.10")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://dana:hunter2@h:1", "http://dana:***@h:1"),
        ("http://:hunter2@h", "http://:***@h"),
        ("postgres://me:hun@ter2@db:5432/x", "postgres://me:***@db:5432/x"),
        ("postgres://me:hunt/er2@db:5432/x", "postgres://me:***@db:5432/x"),
        ("postgres://me:2/hunter@db:5432/x", "postgres://me:***@db:5432/x"),
        ("pg://h/x?sslmode=on&password=hunter2&a=b", "pg://h/x?sslmode=on&password=***&a=b"),
        ("pg://h/x?api_key=hunter2", "pg://h/x?api_key=***"),
        ("Server=h;User=me;Pwd=hunter2;X=1", "Server=h;User=me;Pwd=***;X=1"),
        ("host=h password=hunter2 port=1", "host=h password=*** port=1"),
        ("password = hunter2", "password = ***"),
    ],
)
def test_a_secret_in_a_value_is_hidden(value: str, shown: str) -> None:
    assert masked("connections.wh.url", value) == shown


@pytest.mark.parametrize(
    "key",
    ["password", "PASSWORD", "db_pass", "api_token", "access_key", "secret", "key", "private-key", "pwd"],
)
def test_a_setting_whose_name_speaks_of_a_secret_is_hidden(key: str) -> None:
    assert masked(f"connections.wh.options.{key}", "hunter2") == "***"
    assert masked(f"connections.wh.options.{key}", 12345) == "***"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server.url", "http://127.0.0.1:8800"),
        ("connections.wh.url", "duckdb:///warehouse.duckdb"),
        ("connections.wh.options.threads", 3),
        ("connections.wh.options.keyspace", "clicks"),
        ("connections.wh.options.password", None),
    ],
)
def test_what_is_no_secret_is_shown(key: str, value: object) -> None:
    assert masked(key, value) == value
