from __future__ import annotations

import pytest

from dataspec.errors import InvalidName
from dataspec.spec.identity import check_name


@pytest.mark.rule("3.1")
@pytest.mark.parametrize(
    "name", ["a", "iceberg.analytics.daily_clicks", "A-b_c.1", "x" * 200, "run_20240101"]
)
def test_name_of_letters_digits_dots_and_dashes_is_valid(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.rule("3.1", "3.2")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "empty"),
        ("x" * 201, "201 characters"),
        ("a/b", "'/' is not allowed"),
        ("a b", "' ' is not allowed"),
        ("한글", "is not allowed"),
        ("a..b", "a dot must be between"),
        (".a", "a dot must be between"),
        ("a.", "a dot must be between"),
        ("manual__a", "must not begin with 'manual__'"),
        ("scheduled__a", "must not begin with 'scheduled__'"),
        ("backfill__a", "must not begin with 'backfill__'"),
        ("asset_triggered__a", "must not begin with 'asset_triggered__'"),
        ("dataset_triggered__a", "must not begin with 'dataset_triggered__'"),
        ("a_20240115_093045", "must not end like a run id"),
        ("a_20240115_093045_2", "must not end like a run id"),
        ("a_20240115_093045_20240101", "must not end like a run id"),
        ("a_20240115_093045_20240101T1300Z", "must not end like a run id"),
        ("a_20240101T1300Z", "must not end like a run id"),
        ("a\n", "is not allowed"),
    ],
)
def test_name_that_breaks_in_airflow_or_a_path_is_refused_with_the_rule(name: str, rule: str) -> None:
    with pytest.raises(InvalidName, match="Invalid dataset name") as caught:
        check_name(name)
    assert rule in caught.value.title
