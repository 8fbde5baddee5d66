"""Read dbt's manifest: the macros of dbt and its packages, resolved configurations, compiled SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidUsage, NotFound
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Manifest:
    """What dbt wrote into ``target/manifest.json``; without a file, nothing."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self._data = data or {}

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises:
            InvalidUsage: When the file is no manifest.
            NotFound: When there is no such file.
        """
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise NotFound(f"No such file: {shown(path)}", detail="dbt writes it: dbt compile") from None
        except (ValueError, RecursionError) as error:
            raise InvalidUsage(f"{shown(path)} is not JSON: {error}.") from None
        if not isinstance(data, dict) or not isinstance(data.get("nodes"), dict):
            raise InvalidUsage(f"{shown(path)} is no manifest of dbt: it has no 'nodes'.")
        return cls(data)

    @property
    def adapter(self) -> str | None:
        """The type of dbt's adapter."""
        found = self._section("metadata").get("adapter_type")
        return str(found) if found else None

    def macros(self) -> dict[tuple[str, str], str]:
        """Return the text of each macro, by package and its key in the manifest."""
        found = self._section("macros").items()
        return {(str(one.get("package_name")), key): str(one.get("macro_sql")) for key, one in found}

    def config(self, unique_id: str) -> dict[str, Any]:
        """Return the configuration of a node, as dbt resolved it."""
        config = self._node(unique_id).get("config") or {}
        return {key: value for key, value in config.items() if value is not None}

    def compiled(self, unique_id: str) -> str | None:
        """Return the SQL that dbt compiled."""
        found = self._node(unique_id).get("compiled_code")
        return str(found) if found else None

    def relation(self, unique_id: str) -> str | None:
        """Return a node's or source's table, as compiled SQL names it."""
        found = (self._node(unique_id) or self._section("sources").get(unique_id) or {}).get("relation_name")
        return str(found) if found else None

    def _node(self, unique_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._section("nodes").get(unique_id) or {}
        return found

    def _section(self, name: str) -> Mapping[str, Any]:
        found = self._data.get(name)
        return found if isinstance(found, dict) else {}
