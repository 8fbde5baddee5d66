"""The caller of a request, and what their roles allow."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Literal, Self

from dataspec.errors import InvalidUsage
from dataspec.problems import nearest
from dataspec.spec.model import TEAM_PATTERN
from dataspec.stored_document import StoredPart

ANONYMOUS = "anonymous"
MAX_NAME = 100
"""Maximum length of a principal's name."""

Method = Literal["none", "open", "token", "oidc", "session"]
"""How a caller was identified; ``open`` on a server without sign-in, ``none`` for an unknown caller."""


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

    @classmethod
    def named(cls, name: str) -> Role:
        """Return a role by its name.

        Raises:
            InvalidUsage: When there is no such role.
        """
        roles = {role.label: role for role in cls}
        if name in roles:
            return roles[name]
        hint = nearest(name, roles) or ""
        raise InvalidUsage(f"'{name}' is not a role: write one of {', '.join(roles)}.", detail=hint or None)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, for the datasets of some teams or for all."""

    role: Role
    teams: frozenset[str] | None = None
    """The teams, with their ``@``; None for all datasets, also those without a team."""

    def covers(self, team: str | None) -> bool:
        """Return whether the grant is for the datasets of a team; None for datasets without one."""
        return self.teams is None or team in self.teams

    def __str__(self) -> str:
        return self.role.label + (f" of {', '.join(sorted(self.teams))}" if self.teams is not None else "")


def team_named(name: str) -> str:
    """Return a team as specs write it, ``@name``; the ``@`` may be left out.

    Raises:
        InvalidUsage: When it is not a team's name.
    """
    team = name if name.startswith("@") else f"@{name}"
    if re.fullmatch(TEAM_PATTERN, team) is None:
        raise InvalidUsage(
            f"'{name}' is not a team: after '@', only ASCII letters, digits, '_', '.' and '-' are allowed."
        )
    return team


def grant_named(role: str, teams: Collection[str] | None) -> Grant:
    """Return a grant by the names of its role and teams; no teams for all datasets.

    Raises:
        InvalidUsage: When a name is not valid.
    """
    return Grant(Role.named(role), frozenset(map(team_named, teams)) if teams else None)


class StoredGrant(StoredPart):
    """A grant within a stored object."""

    role: Literal["viewer", "operator", "editor", "admin"]
    teams: tuple[str, ...] | None = None

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """Return a grant in the form that is stored."""
        teams = None if grant.teams is None else tuple(sorted(grant.teams))
        return cls.model_validate({"role": grant.role.label, "teams": teams})

    def grant(self) -> Grant:
        """Return the grant."""
        return Grant(Role.named(self.role), None if self.teams is None else frozenset(self.teams))


def printable(name: str) -> str:
    """Return a name for people that comes from outside, without unprintable characters and not too long."""
    shown = "".join(letter for letter in name[: 4 * MAX_NAME] if letter.isprintable())
    return " ".join(shown.split())[:MAX_NAME]


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who is known."""

    name: str
    """The name in notes, logs and the audit log."""
    grants: tuple[Grant, ...]
    method: Method
    identity: str = ""
    """What identifies the caller for good: a token's id, or an issuer and a subject."""
    expires_at: datetime | None = None
    """When the token or the session ends; None without an end."""

    def may(self, role: Role, team: str | None) -> bool:
        """Return whether the caller has a role, or a higher one, for the datasets of a team."""
        return any(grant.role >= role and grant.covers(team) for grant in self.grants)

    def may_anywhere(self, role: Role) -> bool:
        """Return whether the caller has a role, or a higher one, for some datasets."""
        return any(grant.role >= role for grant in self.grants)

    def may_everywhere(self, role: Role) -> bool:
        """Return whether the caller has a role, or a higher one, for all datasets."""
        return any(grant.role >= role and grant.teams is None for grant in self.grants)

    def teams_for(self, role: Role) -> frozenset[str] | None:
        """Return the teams for whose datasets the caller has a role, or a higher one; None for all datasets."""
        if self.may_everywhere(role):
            return None
        return frozenset(team for grant in self.grants if grant.role >= role for team in grant.teams or ())


UNKNOWN = Principal(ANONYMOUS, (), "none")
"""The caller of a public route, who need not sign in."""


def open_principal(name: str) -> Principal:
    """Return the caller of a server without sign-in, who may do everything."""
    return Principal(printable(name) or ANONYMOUS, (Grant(Role.ADMIN),), "open")
