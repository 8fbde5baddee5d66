"""Which teams' specs may use which connection."""

from __future__ import annotations

import pytest

from dataspec.errors import Forbidden, InvalidSettings
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import DatasetSpec

LISTED = "warehouse=@data @finance, lake = @ops"


def spec(connection: str, team: str | None) -> DatasetSpec:
    return DatasetSpec.model_validate(
        {
            "name": "a.b",
            "type": "Dataset",
            "owner": "a@example.com",
            "team": team,
            "query_statement": "select 1",
            "execution": {"connection": connection},
        }
    )


@pytest.mark.rule("26.80")
@pytest.mark.parametrize(
    ("connection", "team", "allowed"),
    [
        ("warehouse", "@data", True),
        ("warehouse", "@finance", True),
        ("warehouse", "@ops", False),
        ("warehouse", "@Data", False),
        ("warehouse", None, False),
        ("lake", "@ops", True),
        ("lake", "@data", False),
        ("dli_default", "@ops", True),
        ("dli_default", None, True),
    ],
)
def test_a_limited_connection_is_for_the_specs_of_its_teams_alone(
    connection: str, team: str | None, allowed: bool
) -> None:
    teams = ConnectionTeams.parse(LISTED, "LIST")
    assert (teams.why_not(spec(connection, team)) is None) is allowed


@pytest.mark.rule("26.80")
@pytest.mark.parametrize("name", ["WAREHOUSE", "Warehouse", "data_LAKE", "data-lake"])
def test_another_spelling_that_airflow_takes_for_the_connection_is_limited_as_well(name: str) -> None:
    """Airflow finds `AIRFLOW_CONN_WAREHOUSE` by each spelling."""
    teams = ConnectionTeams.parse("warehouse=@data, data-lake=@data", "LIST")
    assert teams.why_not(spec(name, "@ops"))


def test_the_refusal_names_the_connection_its_teams_the_spec_and_the_next_step() -> None:
    with pytest.raises(Forbidden) as refused:
        ConnectionTeams.parse(LISTED, "LIST").check(spec("warehouse", "@ops"))
    assert refused.value.title == (
        "The connection 'warehouse' is for specs of @data, @finance alone; 'a.b' has the team @ops."
    )
    assert "execution.connection" in str(refused.value.detail)
    assert "LIST" in str(refused.value.detail)


def test_lines_commas_and_comments_separate_entries() -> None:
    text = "# who may write\nwarehouse = @data  # and @nobody else, ever\n\nlake=@ops,raw=@ops @data\n"
    teams = ConnectionTeams.parse(text, "LIST")
    assert teams.why_not(spec("warehouse", "@nobody"))
    assert teams.why_not(spec("lake", "@data"))
    assert teams.why_not(spec("raw", "@data")) is None


@pytest.mark.rule("26.82")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("warehouse", "1:1"),
        ("warehouse=", "1:1"),
        ("warehouse=data", "1:1"),
        ("warehouse=@data;lake=@ops", "1:1"),
        ("=@data", "1:1"),
        ("a b=@data", "1:1"),
        ("warehouse=@data,  lake: @ops", "1:19"),
        ("warehouse=@data\n  # so\n  lake=ops", "3:3"),
        ("warehouse=@data, WAREHOUSE=@ops", "1:18"),
        ("data_lake=@data\ndata-lake=@ops", "2:1"),
    ],
)
def test_a_wrong_entry_is_named_with_line_and_column(text: str, place: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^LIST:{place}: "):
        ConnectionTeams.parse(text, "LIST")
