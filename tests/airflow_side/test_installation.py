from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.resources import files

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

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


def test_airflow_finds_the_provider_under_the_distributions_name_with_its_hook() -> None:
    """Airflow ignores a provider whose package-name is not the name of its distribution."""
    manager = ProvidersManager()
    assert "dli-basecamp" in manager.providers
    hook = manager.hooks["duckdb"]
    assert hook is not None
    assert hook.package_name == "dli-basecamp"
