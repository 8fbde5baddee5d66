"""A sign-in whose tokens are known from the start: the name of the caller of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from basecamp.access.credentials import Credentials
from basecamp.access.principal import Grant, Principal, Role
from basecamp.access.refusals import invalid_token
from dataspec.errors import DliError


def person(name: str, role: Role | None = None, *teams: str) -> Principal:
    """Return a caller with one role, for some teams or for all datasets; or with none."""
    grants = () if role is None else (Grant(role, frozenset(teams) if teams else None),)
    return Principal(name, grants, "token", identity=name)


@dataclass
class KnownTokens:
    """Takes the tokens ``dli_NAME``. Those of ``slow`` callers are found by a search alone."""

    people: Mapping[str, Principal]
    slow: frozenset[str] = frozenset()
    outage: DliError | None = None

    def takes(self, token: str) -> bool:
        return token.startswith("dli_")

    def known(self, secret: str) -> Principal | None:
        name = secret.removeprefix("dli_")
        return None if name in self.slow else self.people.get(name)

    def verify(self, secret: str) -> Principal:
        if self.outage is not None:
            raise self.outage
        found = self.people.get(secret.removeprefix("dli_"))
        if found is None:
            raise invalid_token()
        return found


def signing_in(*people: Principal) -> Credentials:
    """Return a sign-in of these callers."""
    return Credentials([KnownTokens({one.name: one for one in people})])


def bearer(name: str) -> dict[str, str]:
    """Return the header of a caller."""
    return {"Authorization": f"Bearer dli_{name}"}
