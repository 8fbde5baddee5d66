"""What the engines have in common that are reached by a driver over the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from dataspec.engines.session import one_line
from dataspec.errors import EngineUnreachable, MissingDriver

if TYPE_CHECKING:
    from dataspec.engines.addresses import EngineAddress


class DriverEngine(ABC):
    """An engine, and how its driver connects to it."""

    title: ClassVar[str]
    """What people call it."""
    conn_type: str
    """Airflow's name for its kind of connection."""
    driver: ClassVar[str]
    """The module of its driver."""
    extra: ClassVar[str]
    """The extra of this distribution that brings the driver."""
    supports_autocommit = True
    """False for an engine that commits each statement by itself in any case."""

    def __init__(self, name: str, address: EngineAddress) -> None:
        self.name = name
        self.address = address

    @property
    def place(self) -> str:
        """Where it is, free of secrets."""
        port = f":{self.address.port}" if self.address.port else ""
        return f"{self.title}, {self.address.host or self.address.database or 'here'}{port}"

    def get_conn(self) -> Any:
        """Connect.

        Raises:
            MissingDriver: When its driver is not installed.
            EngineUnreachable: When it can't be reached, or does not let one in.
        """
        driver = self._load()
        try:
            return self._connect(driver)
        except Exception as error:
            title = f"Can't connect to {self.place} (the connection '{self.name}')."
            raise EngineUnreachable(title, detail=one_line(error)) from error

    def open_early(self) -> None:  # noqa: B027 - most have nothing to begin with
        """Begin what takes long about connecting; :meth:`close` has to follow."""

    def close(self) -> None:  # noqa: B027 - see above
        """Close what was opened early and not used."""

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Have each statement committed by itself, until a ``BEGIN``."""
        conn.autocommit = autocommit

    def get_autocommit(self, conn: Any) -> bool:
        """Say whether each statement is committed by itself."""
        return not self.supports_autocommit or bool(conn.autocommit)

    @abstractmethod
    def _connect(self, driver: Any) -> Any:
        """Connect by the driver's module."""

    def _load(self) -> Any:
        try:
            return import_module(self.driver)
        except ImportError as error:
            raise MissingDriver(self.name, self.title, self.extra) from error

    def _given(self, **arguments: Any) -> dict[str, Any]:
        """Return what the driver's ``connect`` takes: what there is of the arguments, then the connection's options."""
        return {
            key: value
            for key, value in {**arguments, **self.address.options}.items()
            if value is not None and value != ""
        }

    def _catalog_and_schema(self) -> tuple[str, str]:
        """Return the two parts of the URL's path; empty where it has none."""
        catalog, _, schema = (self.address.database or "").partition("/")
        return catalog, schema

    def _option(self, name: str) -> str | None:
        value = self.address.options.get(name)
        return None if value is None else str(value)
