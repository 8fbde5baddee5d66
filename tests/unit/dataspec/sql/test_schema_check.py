"""Types of ``schema`` beside those that engines describe."""

from __future__ import annotations

import pytest

from dataspec.sql.checks.schema_check import is_same_type

SAME = {
    "bigquery": ["int64=INT64", "integer=INT64", "float64=FLOAT64", "array<string>=ARRAY<STRING>"],
    "clickhouse": [
        *("Int64=Nullable(Int64)", "String=LowCardinality(String)", "Date=Date32", "DateTime=DateTime64(6)"),
        "integer=UInt64",
    ],
    "databricks": ["string=string", "int=bigint"],
    "duckdb": [
        *(
            "integer=HUGEINT",
            "string=VARCHAR",
            "decimal=DECIMAL(38,2)",
            "timestamp=TIMESTAMP_NS",
            "double=FLOAT",
        ),
        *(
            "struct(a int)=STRUCT(a INTEGER)",
            "int[]=BIGINT[]",
            "varchar=ENUM('a', 'b')",
            "varchar(10)=VARCHAR",
        ),
        *("no such type=VARCHAR", "integer=DECIMAL(38,0)"),
    ],
    "postgres": [
        *("varchar=character varying", "varchar(10)=character varying(10)", "numeric=numeric(10,2)"),
        *("timestamp=timestamp without time zone", "timestamptz=timestamp with time zone"),
        *("float=double precision", "text[]=text[]", "time=time without time zone"),
    ],
    "snowflake": ["integer=NUMBER(38,0)", "number=NUMBER(38,0)", "timestamp=TIMESTAMP_NTZ(9)", "string=TEXT"],
    "trino": [
        "varchar=varchar(5)",
        "timestamp=timestamp(3)",
        "timestamp with time zone=timestamp(6) with time zone",
    ],
}
OTHER = {
    "bigquery": ["array<string>=ARRAY<INT64>"],
    "clickhouse": ["String=Nullable(Int64)"],
    "duckdb": [
        "decimal(10,2)=DECIMAL(18,3)",
        "date=VARCHAR",
        "integer=DECIMAL(10,2)",
        "timestamp=TIMESTAMP WITH TIME ZONE",
    ],
    "postgres": ["varchar(10)=character varying(20)", "text[]=integer[]", "json=jsonb", "date=text"],
    "snowflake": ["integer=NUMBER(10,2)"],
}


@pytest.mark.rule("37.16")
def test_types_are_compared_by_kind_and_by_size_where_one_is_declared() -> None:
    for expected, cases in ((True, SAME), (False, OTHER)):
        pairs = [(dialect, *case.split("=")) for dialect, found in cases.items() for case in found]
        wrong = [pair for pair in pairs if is_same_type(pair[1], pair[2], pair[0]) is not expected]
        assert wrong == [], expected
