"""Routes of signing in and out: the logins of command lines, and the end of a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from basecamp.access.audit.records import Actor, Target
from basecamp.access.logins import LIFETIME, POLL_SECONDS, ApprovedLogin
from basecamp.access.principal import printable
from basecamp.api import PREFIX
from basecamp.api.auditing import actor_of
from basecamp.api.authorization import bearer_token
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import ServicesOf
from basecamp.api.request_models import LoginBody, LoginTokenBody
from basecamp.services import Services
from basecamp.shared.public_address import PublicAddress
from dataspec.errors import NoSignIn
from dataspec.models import LoginCode, LoginResult

router = APIRouter(route_class=CheckedRoute, prefix=PREFIX, tags=["access"])

_SECRET: dict[str, Any] = {"Cache-Control": "no-store"}


@router.post("/logins")
async def begin_login(
    request: Request, services: ServicesOf, response: Response, body: LoginBody
) -> LoginCode:
    """Start the login of a machine; a person approves its code on the page."""
    if not request.app.state.gate.has_sign_in:
        raise NoSignIn
    machine = printable(body.machine) or "a machine without a name"
    started = await services.work.write(services.logins.start, machine, actor_of(request).address)
    page = f"{_root(request)}/device"
    response.headers.update(_SECRET)
    return LoginCode(
        user_code=started.user_code,
        device_code=started.device_code,
        verification_uri=page,
        verification_uri_complete=f"{page}?{urlencode({'code': started.user_code})}",
        expires_in=int(LIFETIME.total_seconds()),
        interval=POLL_SECONDS,
    )


@router.post("/logins/token")
async def fetch_login(
    request: Request, services: ServicesOf, response: Response, body: LoginTokenBody
) -> LoginResult:
    """Return the state of a login; once it is approved, its token, once."""
    response.headers.update(_SECRET)
    return await services.work.write(_redeem, services, body.device_code, actor_of(request))


@router.post("/logout")
async def logout(request: Request, services: ServicesOf) -> dict[str, bool]:
    """Revoke the API token that this request was sent with."""
    token = bearer_token(request)
    return {"revoked": token is not None and await services.work.write(services.tokens.revoke_text, token)}


def _redeem(services: Services, device_code: str, stranger: Actor) -> LoginResult:
    """Return the state of a login; make the token of an approved one, as the person who approved it."""
    found = services.logins.redeem(device_code, stranger.address)
    if not isinstance(found, ApprovedLogin):
        return LoginResult(status=found)
    person = found.principal
    actor = replace(stranger, name=person.name, method=person.method, identity=person.identity)
    with services.audit_log.change(actor, "create token", Target(subject=f"a login on {found.machine}")):
        token = services.tokens.mint_login(person, found.machine)
    return LoginResult(
        status="approved", token=token.text, name=person.name, expires_at=token.record.expires_at
    )


def _root(request: Request) -> str:
    """Return the address of the pages: the public one, else that of the request."""
    public: PublicAddress | None = request.app.state.public
    return public.url if public else str(request.base_url).rstrip("/")
