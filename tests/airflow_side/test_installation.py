from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.resources import files

import jsonschema
import pytest

from airflow_side.airflow_names import known_timetables
from dli_airflow.provider import get_provider_info


@pytest.mark.rule("15.16")
def test_airflow_loads_the_timetable_from_the_installed_plugin() -> None:
    assert "dli_airflow.timetable.DatasetTimetable" in known_timetables()


def test_the_provider_is_described_as_airflows_schema_asks() -> None:
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    [installed] = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.value.startswith("dli_airflow.")
    ]
    assert installed.load() is get_provider_info
