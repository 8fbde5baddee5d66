"""What a page knows of the person who looks at it: who they are, what they may do, and their forms' token."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from basecamp.access.principal import Principal, Role
from basecamp.access.sessions.cookie_keys import CSRF, SESSION_COOKIE, derived
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.services import Services


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person who looks at a page."""

    caller: Principal | None
    """None on a page that needs no sign-in."""
    csrf: str = ""
    """The token of their forms; empty without a session, whose cookie it is made from."""

    @classmethod
    def of(cls, request: Request) -> Viewer:
        """Return the person who sent a request."""
        caller: Principal | None = getattr(request.state, "caller", None)
        if caller is None or caller.method != "session":
            return cls(caller)
        return cls(caller, derived(request.cookies[SESSION_COOKIE], CSRF))

    @property
    def is_known(self) -> bool:
        """Whether the page is for a person whom the server knows."""
        return self.caller is not None and self.caller.may_anywhere(Role.VIEWER)

    @property
    def reads_audit_log(self) -> bool:
        """Whether they may read the audit log."""
        return self.caller is not None and self.caller.may_anywhere(Role.ADMIN)

    @property
    def roles(self) -> str:
        """Their roles, in words."""
        return ", ".join(map(str, self.caller.grants)) if self.caller else ""


def may_operate(request: Request, services: Services, dataset: str) -> bool:
    """Return whether the person who sent a request may run, pause and stop a dataset."""
    caller: Principal = request.state.caller
    if caller.may_everywhere(Role.OPERATOR) or not caller.may_anywhere(Role.OPERATOR):
        return caller.may_anywhere(Role.OPERATOR)
    return caller.may(Role.OPERATOR, services.dataset_teams.known().get(dataset))


def viewed_datasets(request: Request, services: Services) -> PermittedDatasets:
    """Return the datasets that the person who sent a request may see."""
    caller: Principal = request.state.caller
    by_name = {} if caller.may_everywhere(Role.VIEWER) else services.dataset_teams.known()
    return PermittedDatasets.of(caller, Role.VIEWER, by_name)
