"""Snowflake, by its own connector."""

from __future__ import annotations

from typing import Any

from dli.engines.driver import DriverEngine


class SnowflakeEngine(DriverEngine):
    """A Snowflake account: ``snowflake://user:password@account/database/schema?warehouse=…&role=…``."""

    title = "Snowflake"
    conn_type = "snowflake"
    driver = "snowflake.connector"
    extra = "snowflake"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Have each statement committed by itself."""
        conn.autocommit(autocommit)

    def get_autocommit(self, conn: Any) -> bool:  # noqa: ARG002 - the session has set it
        """Say that each statement is committed by itself."""
        return True

    def _connect(self, driver: Any) -> Any:
        address = self.address
        database, _, schema = (address.database or "").partition("/")
        given = {
            "account": address.host,
            "user": address.login,
            "password": address.password,
            "database": database or None,
            "schema": schema or None,
            "application": "dli",
            **address.options,
        }
        return driver.connect(**{key: value for key, value in given.items() if value is not None})
