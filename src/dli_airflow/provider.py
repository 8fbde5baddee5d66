"""Describe this package to Airflow as a provider (the entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any

from dataspec import distribution


def get_provider_info() -> dict[str, Any]:
    """Return the connection type of this package, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": distribution.NAME,  # Airflow refuses a name that is not the distribution's
        "name": "dli",
        "description": "Datasets as DAGs, and connections to DuckDB.",
        "connection-types": [
            {
                "connection-type": "duckdb",
                "hook-class-name": "dli_airflow.hooks.duckdb.DuckDBHook",
                "hook-name": "DuckDB",
            }
        ],
    }
