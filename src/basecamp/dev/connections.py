"""Airflow's connections: those from the project's ``dli.yaml``, and the default one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataspec.engines.addresses import DEFAULT_FILE, EngineAddress
from dataspec.environment import CREDENTIALS, expand, variables_in
from dataspec.errors import InvalidSettings, InvalidSpec
from dataspec.spec.identity import DEFAULT_CONNECTION
from dataspec.spec.yaml_reader import Document, read_document
from dataspec.trust import Trust, check_owner, connection_permission, implicit_credentials

PROJECT_FILE = "dli.yaml"
_OPTION = "options."


def airflow_connections(
    folder: Path, environ: Mapping[str, str], trust: Trust | None = None
) -> dict[str, str]:
    """Return the connections by id, in Airflow's JSON format.

    Args:
        folder: The project's folder; a ``dli.yaml`` in it is read.
        environ: For ``${VAR}`` in the project's file.
        trust: Checks the project's permissions; None skips the checks.

    Raises:
        InvalidSettings: When ``connections:`` in the file is invalid; names the position.
        Refused: Without permission, when the file belongs to another user, or sends variables to
            another machine (specification 21.7, 21.8).
    """
    default = _in_airflow(EngineAddress.of_file(folder / DEFAULT_FILE))
    found = {DEFAULT_CONNECTION: default} | _Project(folder, environ, trust).connections()
    return {name: json.dumps(connection) for name, connection in found.items()}


class _Project:
    def __init__(self, folder: Path, environ: Mapping[str, str], trust: Trust | None) -> None:
        self._folder = folder
        self._environ = environ
        self._trust = trust

    def connections(self) -> dict[str, dict[str, Any]]:
        file = self._folder / PROJECT_FILE
        if not file.exists():
            return {}
        if self._trust is not None:
            check_owner(file, str(file), self._trust)
        try:
            document = read_document(file.read_bytes(), str(file))
        except InvalidSpec as error:
            raise InvalidSettings(f"{PROJECT_FILE} can't be read.", detail=error.detail) from None
        declared = document.data.get("connections") if isinstance(document.data, dict) else None
        if declared is None:
            return {}
        if not isinstance(declared, dict):
            raise _wrong(document, ("connections",), "write a mapping of names to connections.")
        return {name: self._connection(document, name, entry) for name, entry in declared.items()}

    def _connection(self, document: Document, name: str, entry: Any) -> dict[str, Any]:
        place = ("connections", name)
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            raise _wrong(document, place, "a connection needs a 'url', such as duckdb:///warehouse.duckdb.")
        options = entry.get("options") or {}
        if not isinstance(options, dict):
            raise _wrong(document, (*place, "options"), "options must be a mapping.")
        written = {"url": entry["url"]}
        written |= {f"{_OPTION}{key}": it for key, it in options.items() if it is not None}
        texts = [it for it in written.values() if isinstance(it, str)]
        named = {name for text in texts for name in variables_in(text)}
        if refused := named & CREDENTIALS:
            raise _wrong(
                document, place, f"a project's file may not use the variable {', '.join(sorted(refused))}."
            )
        address = self._address(document, place, written)
        if self._trust is not None:
            sent = {variable for variable in named if self._environ.get(variable)}
            sent |= implicit_credentials(address, self._environ)
            at = ":".join(map(str, (self._folder / PROJECT_FILE, *document.position((*place, "url")))))
            if (permission := connection_permission(name, at, written, sent, address)) is not None:
                self._trust.require(permission)
        return _in_airflow(address)

    def _address(
        self, document: Document, place: tuple[str, ...], written: Mapping[str, Any]
    ) -> EngineAddress:
        """Return the address of a connection, with its variables expanded."""
        try:
            filled = {
                key: expand(it, self._environ) if isinstance(it, str) else it for key, it in written.items()
            }
            url = filled.pop("url")
            options = {key.removeprefix(_OPTION): it for key, it in filled.items()}
            return EngineAddress.read(url, options, self._folder)
        except KeyError as missing:
            raise _wrong(document, place, f"the variable {missing.args[0]} is not set.") from None
        except ValueError as error:
            raise _wrong(document, (*place, "url"), f"not a URL: {error}.") from None


def _in_airflow(address: EngineAddress) -> dict[str, Any]:
    """Return a connection in Airflow's format."""
    if address.kind == "duckdb":
        return {"conn_type": "duckdb", "host": address.database, "extra": {"config": address.options}}
    connection = {
        "conn_type": address.kind,
        "host": address.host,
        "login": address.login,
        "password": address.password,
        "schema": address.database,
        "port": address.port,
        "extra": address.options,
    }
    return {key: value for key, value in connection.items() if value}


def _wrong(document: Document, path: tuple[str, ...], message: str) -> InvalidSettings:
    return InvalidSettings(f"{PROJECT_FILE} can't be used.", detail=str(document.problem(path, message)))
