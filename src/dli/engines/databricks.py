"""Databricks, by its SQL connector: Spark SQL on a warehouse or a cluster."""

from __future__ import annotations

from typing import Any

from dli.engines.driver import DriverEngine


class DatabricksEngine(DriverEngine):
    """A SQL warehouse: ``databricks://token:…@host/catalog/schema?http_path=/sql/1.0/warehouses/…``."""

    title = "Databricks"
    conn_type = "databricks"
    driver = "databricks.sql"
    extra = "databricks"
    supports_autocommit = False

    def get_autocommit(self, conn: Any) -> bool:  # noqa: ARG002 - it always does
        """Say that each statement is committed by itself."""
        return True

    def _connect(self, driver: Any) -> Any:
        address = self.address
        catalog, _, schema = (address.database or "").partition("/")
        given = {
            "server_hostname": address.host,
            "access_token": address.password,
            "catalog": catalog or None,
            "schema": schema or None,
            **address.options,
        }
        return driver.connect(**{key: value for key, value in given.items() if value is not None})
