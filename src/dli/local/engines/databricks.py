"""Databricks, by its SQL connector: Spark SQL on a warehouse or a cluster."""

from __future__ import annotations

from typing import Any

from dli.local.engines.driver import DriverEngine


class DatabricksEngine(DriverEngine):
    """A SQL warehouse: ``databricks://token:…@host/catalog/schema?http_path=/sql/1.0/warehouses/…``."""

    title = "Databricks"
    conn_type = "databricks"
    driver = "databricks.sql"
    extra = "databricks"
    supports_autocommit = False

    def _connect(self, driver: Any) -> Any:
        address = self.address
        catalog, schema = self._catalog_and_schema()
        return driver.connect(
            **self._given(
                server_hostname=address.host,
                access_token=address.password,
                catalog=catalog,
                schema=schema,
            )
        )
