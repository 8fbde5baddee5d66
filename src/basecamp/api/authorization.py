"""Admit requests: find the caller, and compare their roles with the table of rights (specification 26.20).

A caller whose role is for all datasets is admitted without a look at the store. For one who is limited to teams, the
dataset that a request is about is found first. What such a caller does not see is to them as if it did not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import unquote

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Request

from basecamp.access.credentials import Credentials, Presented
from basecamp.access.principal import UNKNOWN, Principal, Role, open_principal
from basecamp.access.refusals import invalid_token, not_of_your_teams, role_needed
from basecamp.access.rights import Right, Scope
from basecamp.access.sessions.cookie_keys import SESSION_COOKIE
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.services import Services
from dataspec.errors import (
    AirflowUnreachable,
    BackfillNotFound,
    DatasetNotFound,
    DliError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from dataspec.problems import nearest
from dataspec.schedule.run_ids import parse_run_id

VERIFYING_THREADS = 32
"""Credentials that are looked up in the store or at the provider, in parallel: more than the unknown ones of each kind
that may wait (8), so that guesses leave threads for callers."""

_PARAMETERS = {Scope.DATASET: "name", Scope.SPEC: "name", Scope.RUN: "run_id", Scope.BACKFILL: "backfill_id"}
_ABOUT_ONE = frozenset({*_PARAMETERS, Scope.BODY})
_BY_ID = frozenset({Scope.RUN, Scope.BACKFILL})


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that the table of rights allows."""

    caller: Principal
    right: Right
    permitted: PermittedDatasets = field(default_factory=PermittedDatasets)
    """The datasets for which the caller has the route's role."""
    seen: PermittedDatasets = field(default_factory=PermittedDatasets)
    """The datasets that the caller may see."""
    dataset: str | None = None
    """The dataset of the requested run; None if it was not needed to admit the request."""

    def hidden(self, error: DatasetNotFound) -> DliError:
        """Return an error as this caller may see it: it suggests only datasets that they see."""
        if self.seen.are_all:
            return error
        if self.right.changes and error.dataset not in self.seen:
            return not_of_your_teams(self.caller, self.right.role or Role.VIEWER, "dataset", error.dataset)
        return missing_dataset(error.dataset, self.seen) if error.is_suggestion else error


class Gate:
    """Finds the caller of each request, and admits or refuses it.

    Args:
        credentials: The sign-in that is on; None for a server without, whose callers may do everything.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._verifiers = CapacityLimiter(VERIFYING_THREADS)

    @property
    def has_sign_in(self) -> bool:
        """Whether callers have to sign in."""
        return self._credentials is not None

    async def admit(self, request: Request, right: Right, *, takes_cookie: bool) -> Admitted:
        """Admit a request.

        Args:
            request: The request.
            right: What its route needs.
            takes_cookie: Whether the session of a page counts; a route of the API takes tokens alone.

        Raises:
            Unauthorized: When the caller is unknown.
            Forbidden: When their roles do not allow it.
            NotFound: When they do not see what they want to read.
            Unavailable: While the caller, or the dataset's team, can't be known.
        """
        is_public = right.scope is Scope.PUBLIC and self._credentials is not None
        caller = UNKNOWN if is_public else await self.identify(request, takes_cookie=takes_cookie)
        request.state.caller = caller
        role = right.role
        if role is None or caller.may_everywhere(role):
            return Admitted(caller, right)
        least = Role.VIEWER if right.scope in _ABOUT_ONE else role
        if right.scope is Scope.SERVER or not caller.may_anywhere(least):
            raise role_needed(caller, role, everywhere=right.scope is Scope.SERVER)
        services: Services = request.app.state.services
        name, dataset = await _name_of(request, right.scope), request.query_params.get("dataset")
        return await anyio.to_thread.run_sync(_admit_limited, services, caller, right, name, dataset)

    async def identified(self, request: Request) -> Principal:
        """Return the caller of a public route; an unknown one if they can't be identified."""
        try:
            return await self.identify(request, takes_cookie=False)
        except (Unauthorized, Unavailable):
            return UNKNOWN

    async def identify(self, request: Request, *, takes_cookie: bool) -> Principal:
        """Return the caller of a request.

        Raises:
            Unauthorized: When the caller is unknown.
            Unavailable: While that can't be known.
        """
        credentials = self._credentials
        if credentials is None:
            return open_principal(unquote(request.headers.get("dli-user", "")))
        cookie = request.cookies.get(SESSION_COOKIE) if takes_cookie else None
        presented = Presented(bearer_token(request), cookie)
        try:
            known = credentials.known(presented)
            if known is not None:
                return known
            return await anyio.to_thread.run_sync(credentials.verify, presented, limiter=self._verifiers)
        except Unauthorized as error:
            error.invalid_token = presented.bearer is not None
            raise


def bearer_token(request: Request) -> str | None:
    """Return the bearer token of a request; None without the header ``Authorization``.

    Raises:
        Unauthorized: For another scheme, and for several headers.
    """
    given = request.headers.getlist("authorization")
    if not given:
        return None
    scheme, _, token = given[0].strip().partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise invalid_token("Send one header 'Authorization: Bearer TOKEN'.")
    return token.strip()


async def _name_of(request: Request, scope: Scope) -> str:
    """Return the name or id of what a request is about; an empty one if it is about many things or has none."""
    if scope is Scope.BODY:
        try:
            body = await request.json()
        except (ValueError, RecursionError):
            return ""
        name = body.get("name") if isinstance(body, dict) else None
        return name if isinstance(name, str) else ""
    return str(request.path_params.get(_PARAMETERS.get(scope, ""), ""))


def _admit_limited(
    services: Services, caller: Principal, right: Right, name: str, dataset: str | None
) -> Admitted:
    """Admit a caller whose role is for the datasets of some teams.

    Args:
        services: The services.
        caller: The caller.
        right: What the route needs.
        name: The name or id of what the request is about.
        dataset: The dataset of the run, if the request names it.
    """
    teams = services.dataset_teams.known()
    if right.changes and right.scope not in _BY_ID and name not in teams:
        teams = services.dataset_teams.known(fresh=True)  # another replica may have just registered it
    role = right.role or Role.VIEWER
    admitted = Admitted(
        caller,
        right,
        permitted=PermittedDatasets.of(caller, role, teams),
        seen=PermittedDatasets.of(caller, Role.VIEWER, teams),
    )
    if right.scope not in _ABOUT_ONE:
        return admitted
    found = _found(services, admitted, name, dataset)
    # Of a new dataset, the service checks the team in the request's spec.
    is_new = right.scope is Scope.SPEC and found not in teams
    if not caller.may_anywhere(role) or not (is_new or found in admitted.permitted):
        raise role_needed(caller, role, team=teams.get(found), everywhere=not is_new)
    return replace(admitted, dataset=found)


def _found(services: Services, admitted: Admitted, name: str, dataset: str | None) -> str:
    """Return the dataset that a request is about.

    Raises:
        NotFound: When the caller sees none of that name, or no such run or backfill.
        Forbidden: When they want to change it.
    """
    seen, right = admitted.seen, admitted.right
    try:
        if right.scope is Scope.RUN:
            return _dataset_of_run(services, name, dataset, seen)
        if right.scope is Scope.BACKFILL:
            return _dataset_of_backfill(name, seen)
        is_known = name in seen.by_name
        if is_known and name in seen:
            return name
        if (right.scope is Scope.SPEC and not is_known) or (right.scope is Scope.BODY and seen.are_all):
            return name  # a new dataset; something else than a dataset
        raise missing_dataset(name, seen)
    except NotFound:
        if not right.changes or seen.are_all:
            raise
        kind = right.scope.value if right.scope in _BY_ID else "dataset"
        raise not_of_your_teams(admitted.caller, right.role or Role.VIEWER, kind, name) from None


def _dataset_of_backfill(backfill_id: str, seen: PermittedDatasets) -> str:
    parsed = parse_run_id(backfill_id)
    if parsed is None or parsed.dataset not in seen:
        raise BackfillNotFound(backfill_id)
    return parsed.dataset


def _dataset_of_run(services: Services, run_id: str, dataset: str | None, seen: PermittedDatasets) -> str:
    try:
        return services.run_lookup.find(run_id, dataset, among=seen).dag_id
    except AirflowUnreachable:
        parsed = parse_run_id(run_id)
        likely = dataset or (parsed.dataset if parsed else None)
        if likely is None or likely not in seen:
            raise
        return likely  # the handler has its last answer for this dataset's run


def missing_dataset(name: str, seen: PermittedDatasets) -> DatasetNotFound:
    """Return the error for a dataset that a caller does not see, with the nearest that they see."""
    return DatasetNotFound(name, hint=nearest(name, seen.among(seen.by_name)), is_suggestion=True)
