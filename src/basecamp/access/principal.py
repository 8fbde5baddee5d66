"""The caller of a request, and what their roles allow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

ANONYMOUS = "anonymous"

Method = Literal["open", "token", "oidc", "session"]
"""How a caller was identified; ``open`` on a server without sign-in."""


class Role(IntEnum):
    """A role; each one has the rights of those before it (specification 26.20)."""

    VIEWER = 1
    OPERATOR = 2
    EDITOR = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """The role's name, as people write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, for the datasets of some teams or for all."""

    role: Role
    teams: frozenset[str] | None = None
    """The teams, with their ``@``; None for all datasets, also those without a team."""

    def covers(self, team: str | None) -> bool:
        """Return whether the grant is for the datasets of a team; None for datasets without one."""
        return self.teams is None or team in self.teams


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who is known."""

    name: str
    """The name in notes, logs and the audit log."""
    grants: tuple[Grant, ...]
    method: Method
    identity: str = ""
    """What identifies the caller for good: a token's id, or an issuer and a subject."""

    def may(self, role: Role, team: str | None) -> bool:
        """Return whether the caller has a role, or a higher one, for the datasets of a team."""
        return any(grant.role >= role and grant.covers(team) for grant in self.grants)

    def may_anywhere(self, role: Role) -> bool:
        """Return whether the caller has a role, or a higher one, for some datasets."""
        return any(grant.role >= role for grant in self.grants)

    def may_everywhere(self, role: Role) -> bool:
        """Return whether the caller has a role, or a higher one, for all datasets."""
        return any(grant.role >= role and grant.teams is None for grant in self.grants)

    def sees(self, team: str | None) -> bool:
        """Return whether the caller may see the datasets of a team."""
        return self.may(Role.VIEWER, team)

    def role_for(self, team: str | None) -> Role | None:
        """Return the caller's highest role for the datasets of a team; None without any."""
        return max((grant.role for grant in self.grants if grant.covers(team)), default=None)


def open_principal(name: str) -> Principal:
    """Return the caller of a server without sign-in, who may do everything."""
    return Principal(name or ANONYMOUS, (Grant(Role.ADMIN),), "open")
