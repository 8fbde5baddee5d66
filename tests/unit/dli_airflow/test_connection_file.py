"""The list of connections' teams on Airflow's machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataspec.errors import InvalidSettings
from dli_airflow.connection_teams import CONNECTIONS_FILE, connection_teams
from unit.dli_airflow.catalogs import datasets

[DATASET] = datasets("web.clicks", more='team: "@ops"\nexecution: {connection: warehouse}\n')


def read(path: Path) -> str | None:
    return connection_teams({CONNECTIONS_FILE: str(path)}).why_not(DATASET.spec)


@pytest.mark.rule("26.81")
def test_the_file_limits_connections_and_without_the_variable_none_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "connections"
    path.write_text("warehouse=@data\n")
    assert "'warehouse' is for specs of @data" in str(read(path))
    path.write_text("\ufeffwarehouse=@data @ops\n", encoding="utf-8")
    assert read(path) is None
    for unset in ({}, {CONNECTIONS_FILE: " "}):
        assert connection_teams(unset).why_not(DATASET.spec) is None


@pytest.mark.rule("26.82")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"warehouse=@data\nlake", ":2:1: 'lake' is not a connection and its teams"),
        (b"", "has no entry"),
        (b"# nothing yet\n", "has no entry"),
        (b"\xff\xfe", "can't be read: it is not UTF-8"),
    ],
)
def test_a_file_without_a_valid_list_opens_no_connection(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "connections"
    path.write_bytes(content)
    with pytest.raises(InvalidSettings, match=reason) as refused:
        read(path)
    assert str(path) in refused.value.title


@pytest.mark.rule("26.82")
def test_a_missing_file_opens_no_connection(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="can't be read: No such file or directory"):
        read(tmp_path / "missing")
