"""PostgreSQL, by psycopg."""

from __future__ import annotations

from typing import Any

from dli.local.engines.driver import DriverEngine


class PostgresEngine(DriverEngine):
    """A PostgreSQL database; the connection's options are libpq's, such as ``sslmode``."""

    title = "PostgreSQL"
    conn_type = "postgres"
    driver = "psycopg"
    extra = "postgres"

    def _connect(self, driver: Any) -> Any:
        address = self.address
        return driver.connect(
            **self._given(
                host=address.host,
                port=address.port,
                user=address.login,
                password=address.password,
                dbname=address.database,
                application_name="dli",
                connect_timeout=10,
            )
        )
