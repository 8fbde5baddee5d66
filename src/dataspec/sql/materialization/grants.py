"""Compare the grants of a table with those that it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dataspec.sql.materialization.engine_sql import EngineSql, Parts


class Grant(NamedTuple):
    """One right that somebody other than the owner has."""

    privilege: str
    grantee: str
    column: str | None = None
    """The column that it is limited to; None for the whole table."""
    can_pass_on: bool = False

    def of_privilege(self, privilege: str) -> bool:
        """Return whether it is a grant of a privilege on the whole table."""
        return self.column is None and self.privilege.lower() == privilege.lower()


def wanted_grants(
    kept: Iterable[Grant], named: Mapping[str, Sequence[str]], columns: Collection[str]
) -> list[Grant]:
    """Return the grants that a table should have.

    Args:
        kept: The grants of the table before.
        named: The grantees of a spec, by privilege; other privileges stay as they are.
        columns: The columns that the table has now.
    """
    found = [grant for grant in kept if grant.column is None or grant.column in columns]
    for privilege, grantees in named.items():
        found = [grant for grant in found if not grant.of_privilege(privilege)]
        found += [Grant(privilege.upper(), grantee) for grantee in grantees]
    return found


def grant_changes(
    engine: EngineSql, target: Parts, now: Collection[Grant], wanted: Collection[Grant]
) -> Iterator[str]:
    """Yield the statements that turn the grants of a table into the wanted ones."""
    name = engine.named(target)
    for grant in now:
        if grant not in wanted:
            yield f"revoke {_right(engine, grant)} on {name} from {engine.grantee(grant.grantee)}"
    for grant in wanted:
        if grant not in now:
            option = " with grant option" if grant.can_pass_on else ""
            yield f"grant {_right(engine, grant)} on {name} to {engine.grantee(grant.grantee)}{option}"


def _right(engine: EngineSql, grant: Grant) -> str:
    return grant.privilege if grant.column is None else f"{grant.privilege} ({engine.quoted(grant.column)})"
