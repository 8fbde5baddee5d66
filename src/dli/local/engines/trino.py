"""Trino, by its own client."""

from __future__ import annotations

from typing import Any

from dli.local.engines.driver import DriverEngine


class TrinoEngine(DriverEngine):
    """A Trino cluster: ``trino://user@host:8080/catalog/schema``; a password means HTTPS."""

    title = "Trino"
    conn_type = "trino"
    driver = "trino.dbapi"
    extra = "trino"
    supports_autocommit = False

    def _connect(self, driver: Any) -> Any:
        address = self.address
        catalog, schema = self._catalog_and_schema()
        return driver.connect(
            **self._given(
                host=address.host,
                port=address.port,
                user=address.login,
                catalog=catalog,
                schema=schema,
                source="dli",
                http_scheme="https" if address.password else None,
                auth=self._auth() if address.password else None,
            )
        )

    def _auth(self) -> Any:
        from trino.auth import BasicAuthentication

        return BasicAuthentication(self.address.login or "", self.address.password or "")
