"""Trino, by its own client."""

from __future__ import annotations

from typing import Any

from dli.engines.driver import DriverEngine


class TrinoEngine(DriverEngine):
    """A Trino cluster: ``trino://user@host:8080/catalog/schema``; a password means HTTPS."""

    title = "Trino"
    conn_type = "trino"
    driver = "trino.dbapi"
    extra = "trino"
    supports_autocommit = False

    def get_autocommit(self, conn: Any) -> bool:  # noqa: ARG002 - it always does
        """Say that each statement is committed by itself."""
        return True

    def _connect(self, driver: Any) -> Any:
        address = self.address
        catalog, _, schema = (address.database or "").partition("/")
        given = {
            "host": address.host,
            "port": address.port,
            "user": address.login,
            "catalog": catalog or None,
            "schema": schema or None,
            "source": "dli",
            "http_scheme": "https" if address.password else None,
            "auth": self._auth() if address.password else None,
            **address.options,
        }
        return driver.connect(**{key: value for key, value in given.items() if value is not None})

    def _auth(self) -> Any:
        from trino.auth import BasicAuthentication

        return BasicAuthentication(self.address.login or "", self.address.password or "")
