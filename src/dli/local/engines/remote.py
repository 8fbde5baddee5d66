"""Engines that are reached over the network; each driver is loaded when it connects."""

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


class SnowflakeEngine(DriverEngine):
    """A Snowflake account: ``snowflake://user:password@account/database/schema?warehouse=…&role=…``."""

    title = "Snowflake"
    conn_type = "snowflake"
    driver = "snowflake.connector"
    extra = "snowflake"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Commit each statement by itself."""
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


class BigQueryEngine(DriverEngine):
    """A project: ``bigquery://project/dataset?location=EU``, with Google's default credentials."""

    title = "BigQuery"
    conn_type = "gcpbigquery"
    driver = "google.cloud.bigquery"
    extra = "bigquery"
    supports_autocommit = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.project_id = self.address.host
        self.location = self._option("location")
        self._config: Any = None

    @property
    def labels(self) -> dict[str, str] | None:
        """The labels of the session's jobs, used to find a running one."""
        return self._config.labels if self._config is not None else None

    @labels.setter
    def labels(self, labels: dict[str, str]) -> None:
        self._config.labels = labels

    def get_client(self, *, project_id: str | None, location: str | None) -> Any:
        """Return a client for the project's jobs."""
        return self._load().Client(project=project_id, location=location)

    def _connect(self, driver: Any) -> Any:
        from google.cloud.bigquery import dbapi

        self._config = driver.QueryJobConfig()
        if self.address.database:
            self._config.default_dataset = f"{self.project_id}.{self.address.database}"
        client = driver.Client(
            project=self.project_id, location=self.location, default_query_job_config=self._config
        )
        return _Connection(dbapi.connect(client))


class _Connection:
    """A connection that sends SQL unchanged: Google's cursors turn ``%%`` into ``%``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.commit = connection.commit
        self.close = connection.close

    def cursor(self) -> Any:
        cursor = self._connection.cursor()
        execute = cursor.execute
        cursor.execute = lambda sql: execute(sql.replace("%", "%%"))
        return cursor


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
