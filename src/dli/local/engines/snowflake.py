"""Snowflake, by its own connector."""

from __future__ import annotations

from typing import Any

from dli.local.engines.driver import DriverEngine


class SnowflakeEngine(DriverEngine):
    """A Snowflake account: ``snowflake://user:password@account/database/schema?warehouse=…&role=…``."""

    title = "Snowflake"
    conn_type = "snowflake"
    driver = "snowflake.connector"
    extra = "snowflake"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Have each statement committed by itself."""
        conn.autocommit(autocommit)

    def _connect(self, driver: Any) -> Any:
        address = self.address
        database, schema = self._catalog_and_schema()
        return driver.connect(
            **self._given(
                account=address.host,
                user=address.login,
                password=address.password,
                database=database,
                schema=schema,
                application="dli",
            )
        )
