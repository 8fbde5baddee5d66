from __future__ import annotations

import pytest
from sqlglot.dialects.dialect import Dialects

from dataspec.spec import dialects


def test_every_dialect_is_one_that_the_sql_parser_knows() -> None:
    known = {dialect.value for dialect in Dialects}
    assert set(dialects._BY_CONNECTION_TYPE.values()) <= known


@pytest.mark.rule("9.15")
@pytest.mark.parametrize(
    ("connection_type", "dialect"),
    [("duckdb", "duckdb"), ("gcpbigquery", "bigquery"), ("mssql", "tsql"), ("something", None), (None, None)],
)
def test_a_connections_type_tells_its_dialect(connection_type: str | None, dialect: str | None) -> None:
    assert dialects.dialect_of_connection(connection_type) == dialect
