"""BigQuery, by Google's client."""

from __future__ import annotations

from typing import Any

from dli.local.engines.driver import DriverEngine


class BigQueryEngine(DriverEngine):
    """A project: ``bigquery://project/dataset?location=EU``; who asks is told by Google's default credentials."""

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
        """The labels of the session's jobs, by which a running one is found."""
        return self._config.labels if self._config is not None else None

    @labels.setter
    def labels(self, labels: dict[str, str]) -> None:
        self._config.labels = labels

    def get_client(self, *, project_id: str | None, location: str | None) -> Any:
        """Return a client that sees the project's jobs."""
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
    """A connection whose cursors send SQL as it is: Google's make ``%`` of each ``%%``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.commit = connection.commit
        self.close = connection.close

    def cursor(self) -> Any:
        cursor = self._connection.cursor()
        execute = cursor.execute
        cursor.execute = lambda sql: execute(sql.replace("%", "%%"))
        return cursor
