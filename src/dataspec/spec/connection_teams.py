"""Limit connections to the specs of some teams, by the same list on the server and on Airflow's machines.

The list has an entry for each limited connection, on a line of its own or after a comma, such as
``warehouse=@data @finance``. A ``#`` begins a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dataspec.errors import Forbidden, InvalidSettings
from dataspec.spec.model import DatasetSpec

EXAMPLE = "warehouse=@data @finance, lake=@ops"

_ENTRY = re.compile(r"[^,\n]+")
_COMMENT = re.compile(r"#[^\n]*")
_CONNECTION = re.compile(r"[A-Za-z0-9_.\-]+")
_TEAM = re.compile(r"@[A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class ConnectionTeams:
    """The teams that may use each limited connection; every spec may use the others (specification 26.80)."""

    place: str = ""
    """Where the list is, for messages."""
    _teams: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, place: str) -> ConnectionTeams:
        """Read a list.

        Args:
            text: The list; without an entry, no connection is limited.
            place: The variable or the file that it comes from.

        Raises:
            InvalidSettings: With the line and column of the first wrong entry.
        """
        teams: dict[str, frozenset[str]] = {}
        for entry, line, column in _entries(text):
            where = f"{place}:{line}:{column}"
            connection, names = _read(entry, where)
            if _resolved(connection) in teams:
                raise InvalidSettings(f"{where}: the connection '{connection}' has an entry already.")
            teams[_resolved(connection)] = names
        return cls(place, teams)

    def __bool__(self) -> bool:
        """Return whether a connection is limited."""
        return bool(self._teams)

    def why_not(self, spec: DatasetSpec) -> str | None:
        """Return why a spec may not use one of its connections; None if it may."""
        for connection in spec.connections:
            teams = self._teams.get(_resolved(connection))
            if teams is not None and spec.team not in teams:
                own = f"'{spec.name}' has the team {spec.team}" if spec.team else f"'{spec.name}' has no team"
                return (
                    f"The connection '{connection}' is for specs of {', '.join(sorted(teams))} alone; {own}."
                )
        return None

    def check(self, spec: DatasetSpec) -> None:
        """Refuse a spec that may not use one of its connections.

        Raises:
            Forbidden: When the connection is limited to other teams.
        """
        if reason := self.why_not(spec):
            raise Forbidden(
                reason,
                detail=f"Name another connection in execution.connection or depends_on. {self.place} has the teams of each.",
            )


def _entries(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the entries with their lines and columns, which count from 1."""
    blanked = _COMMENT.sub(lambda comment: " " * len(comment.group()), text)
    for match in _ENTRY.finditer(blanked):
        entry = match.group().strip()
        if entry:
            start = match.start() + match.group().index(entry)
            line_start = blanked.rfind("\n", 0, start) + 1
            yield entry, blanked.count("\n", 0, start) + 1, start - line_start + 1


def _read(entry: str, where: str) -> tuple[str, frozenset[str]]:
    connection, _, names = (part.strip() for part in entry.partition("="))
    teams = names.split()
    if not (_CONNECTION.fullmatch(connection) and teams and all(map(_TEAM.fullmatch, teams))):
        raise InvalidSettings(f"{where}: '{entry}' is not a connection and its teams. Example: {EXAMPLE}")
    return connection, frozenset(teams)


def _resolved(connection: str) -> str:
    """Return a name that is equal for connections that Airflow may take for each other.

    It finds a connection in the environment by its name in capitals; secrets backends may replace ``_`` by ``-``, and
    MySQL compares names without case.
    """
    return connection.upper().replace("-", "_")
