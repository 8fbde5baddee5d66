"""The base class of engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from dataspec.engines.session import one_line
from dataspec.errors import EngineUnreachable, MissingDriver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.engines.addresses import EngineAddress


class DriverEngine(ABC):
    """An engine that is reached by a Python driver."""

    title: ClassVar[str]
    """The product's name."""
    conn_type: str
    """Airflow's connection type."""
    driver: ClassVar[str]
    """The driver's module."""
    extra: ClassVar[str]
    """The extra of this distribution that installs the driver."""
    supports_autocommit = True
    """False for an engine that always commits each statement by itself."""

    def __init__(self, name: str, address: EngineAddress) -> None:
        self.name = name
        self.address = address

    @property
    def place(self) -> str:
        """The engine's name and host, without secrets."""
        port = f":{self.address.port}" if self.address.port else ""
        return f"{self.title}, {self.address.host or self.address.database or 'here'}{port}"

    @property
    def exclusive(self) -> str | None:
        """What only one run at a time can use; None if runs go side by side."""
        return None

    def get_conn(self) -> Any:
        """Connect.

        Raises:
            MissingDriver: When the driver is not installed.
            EngineUnreachable: When the engine can't be reached, or refuses the login.
        """
        driver = self._load()
        try:
            return self._connect(driver)
        except Exception as error:
            title = f"Can't connect to {self.place} (the connection '{self.name}')."
            raise EngineUnreachable(title, detail=one_line(error)) from error

    def open_early(self) -> None:  # noqa: B027 - optional for engines
        """Start to connect in the background; :meth:`close` must follow."""

    def keep_open(self) -> None:  # noqa: B027 - see above
        """Let the runs that follow share what opening the engine costs; :meth:`close` must follow."""

    def close(self) -> None:  # noqa: B027 - see above
        """Close an early connection that was not used, and what was kept open."""

    def attach(self, connection: Any, catalogs: Sequence[str]) -> None:  # noqa: B027 - optional for engines
        """Attach catalogs that SQL names and the engine lacks, where that is for the client to do."""

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Commit each statement by itself, until a ``BEGIN``."""
        conn.autocommit = autocommit

    def get_autocommit(self, conn: Any) -> bool:
        """Return whether each statement is committed by itself."""
        return not self.supports_autocommit or bool(conn.autocommit)

    @abstractmethod
    def _connect(self, driver: Any) -> Any:
        """Connect with the driver's module."""

    def _load(self) -> Any:
        try:
            return import_module(self.driver)
        except ImportError as error:
            raise MissingDriver(self.name, self.title, self.extra) from error

    def _given(self, **arguments: Any) -> dict[str, Any]:
        """Return the arguments of the driver's ``connect``: those with a value, and the connection's options."""
        return {
            key: value
            for key, value in {**arguments, **self.address.options}.items()
            if value is not None and value != ""
        }

    def _catalog_and_schema(self) -> tuple[str, str]:
        """Return the two parts of the URL's path, or empty texts."""
        catalog, _, schema = (self.address.database or "").partition("/")
        return catalog, schema

    def _option(self, name: str) -> str | None:
        value = self.address.options.get(name)
        return None if value is None else str(value)
