"""Routes of sign-in and sign-out."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from basecamp.access.sessions import PageSignIn
from basecamp.access.sessions.attempt import SIGN_IN_TIME
from basecamp.access.sessions.cookie_keys import (
    CSRF,
    SESSION_COOKIE,
    SIGN_IN_COOKIE,
    derived,
    is_cookie,
    new_cookie,
)
from basecamp.access.sessions.provider import NoRole, NotSignedIn, PageProvider
from basecamp.access.sessions.records import LIFETIME, SessionRecord
from basecamp.api.dependencies import ServicesOf
from basecamp.api.middleware import LOOPBACK_HOSTS
from basecamp.api.public_paths import OutsideRedirect
from basecamp.services import Services
from basecamp.web.forms import FormReader
from basecamp.web.rendering import PageRoute, links_of, page, redirect
from dataspec.errors import DliError, InvalidUsage, NotFound, Unauthorized, Unavailable

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

log = logging.getLogger(__name__)

TokenForm = Annotated[dict[str, str], Depends(FormReader("token", "next", cookie=SIGN_IN_COOKIE))]
SignOutForm = Annotated[dict[str, str], Depends(FormReader(cookie=SESSION_COOKIE))]

NO_REFERRER = {"Referrer-Policy": "no-referrer"}
"""The callback's address has a code, which must not get into the next request."""


async def _sign_in(services: ServicesOf) -> PageSignIn:
    if services.page_sign_in is None:
        raise NotFound("This server has no sign-in.")
    return services.page_sign_in


SignInOf = Annotated[PageSignIn, Depends(_sign_in)]


@router.get("/sign-in")
def show_sign_in(request: Request, sign_in: SignInOf, next: str = "") -> Response:  # noqa: A002 - its name in the URL
    """Show the ways to sign in; where there is a provider alone, go there."""
    if sign_in.provider is not None and not sign_in.takes_tokens:
        return _to_provider(request, sign_in, sign_in.provider, next)
    return _show_ways(request, sign_in, next)


@router.get("/sign-in/provider")
def begin_at_provider(request: Request, sign_in: SignInOf, next: str = "") -> Response:  # noqa: A002 - its name in the URL
    """Send the browser to the provider."""
    return _to_provider(request, sign_in, _provider(sign_in), next)


class CallbackRoute(PageRoute):
    """A route to which providers send browsers, with what each of them adds to the query."""

    def ignores(self, name: str) -> bool:
        """Ignore what this server does not read."""
        return name not in self.query_names


def finish_at_provider(
    *,
    request: Request,
    services: ServicesOf,
    sign_in: SignInOf,
    state: str = "",
    code: str = "",
    iss: str = "",
    error: str = "",
) -> Response:
    """Begin the session of a user who comes back from a provider."""
    answer = {"state": state, "code": code, "iss": iss, "error": error}
    try:
        user, target = _provider(sign_in).finish(
            request.cookies.get(SIGN_IN_COOKIE, ""),
            {name: text for name, text in answer.items() if text},
            _address(request, sign_in, links_of(request).sign_in_callback()),
        )
        cookie = sign_in.sessions.begin(user)
    except DliError as problem:
        if isinstance(problem, NotSignedIn) and _is_signed_in(request, sign_in):
            return redirect(links_of(request).datasets())  # another tab was first
        return _refused(request, services, problem)
    log.info("Signed in: %s (%s)", user.principal.name, user.principal.identity)
    return _signed_in(request, sign_in, cookie, target)


router.add_api_route("/sign-in/callback", finish_at_provider, route_class_override=CallbackRoute)


@router.post("/sign-in/token")
def sign_in_with_token(
    request: Request, services: ServicesOf, sign_in: SignInOf, form: TokenForm
) -> Response:
    """Begin a session with the rights of an API token."""
    target = form.get("next", "")
    try:
        cookie = sign_in.sessions.begin_with_token(form.get("token", "").strip())
    except (Unauthorized, Unavailable) as error:
        _note_refusal(request, services, error)
        return _show_ways(request, sign_in, target, error)
    return _signed_in(request, sign_in, cookie, target)


@router.post("/sign-out")
def sign_out(request: Request, sign_in: SignInOf, _form: SignOutForm) -> Response:
    """End the session, here and at its provider."""
    ended = sign_in.sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    elsewhere = _end_session(request, sign_in, ended) if ended else None
    return _signed_out(request, elsewhere)


@router.get("/sign-out")
def show_signed_out(request: Request, sign_in: SignInOf) -> Response:
    """Show that nobody is signed in, also to a user who comes back from a provider."""
    if _is_signed_in(request, sign_in):
        return redirect(links_of(request).datasets())
    return _signed_out(request, None)


def _show_ways(request: Request, sign_in: PageSignIn, target: str, error: DliError | None = None) -> Response:
    cookie = _sign_in_cookie(request)
    response = page(
        request,
        "sign_in.html",
        status=error.http_status if error else 200,
        error=error,
        provider=sign_in.provider.name if sign_in.provider else None,
        takes_tokens=sign_in.takes_tokens,
        csrf=derived(cookie, CSRF),
        target=links_of(request).own_target(target),
    )
    return _with_cookie(response, SIGN_IN_COOKIE, cookie, SIGN_IN_TIME)


def _to_provider(request: Request, sign_in: PageSignIn, provider: PageProvider, target: str) -> Response:
    cookie, links = _sign_in_cookie(request), links_of(request)
    callback = _address(request, sign_in, links.sign_in_callback())
    address = provider.begin(cookie, links.own_target(target), callback)
    return _with_cookie(OutsideRedirect(address), SIGN_IN_COOKIE, cookie, SIGN_IN_TIME)


def _provider(sign_in: PageSignIn) -> PageProvider:
    if sign_in.provider is None:
        raise NotFound("This server has no sign-in at a provider.")
    return sign_in.provider


def _sign_in_cookie(request: Request) -> str:
    """Return the cookie of this browser's sign-ins, which may be under way in other tabs, or a new one."""
    cookie = request.cookies.get(SIGN_IN_COOKIE, "")
    return cookie if is_cookie(cookie) else new_cookie()


def _signed_in(request: Request, sign_in: PageSignIn, cookie: str, target: str) -> Response:
    """Redirect a user who has just signed in, with the cookie of the new session; end an earlier one."""
    with suppress(Unavailable):  # it ends by itself
        sign_in.sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    response = redirect(links_of(request).own_target(target))
    _with_cookie(response, SIGN_IN_COOKIE, "", timedelta(0))
    return _with_cookie(response, SESSION_COOKIE, cookie, LIFETIME)


def _signed_out(request: Request, elsewhere: str | None) -> Response:
    response = page(request, "signed_out.html", elsewhere=elsewhere)
    return _with_cookie(response, SESSION_COOKIE, "", timedelta(0))


def _refused(request: Request, services: Services, error: DliError) -> Response:
    _note_refusal(request, services, error)
    return page(
        request,
        "not_signed_in.html",
        status=error.http_status,
        headers=NO_REFERRER,
        error=error,
        identity=error if isinstance(error, NoRole) else None,
    )


def _note_refusal(request: Request, services: Services, error: DliError) -> None:
    log.warning("Sign-in refused: %s %s", error.title, error.detail or "")
    services.refused_requests.count(request.client.host if request.client else "", error.title)


def _is_signed_in(request: Request, sign_in: PageSignIn) -> bool:
    with suppress(Unauthorized, Unavailable):
        sign_in.sessions.verify(request.cookies.get(SESSION_COOKIE, ""))
        return True
    return False


def _end_session(request: Request, sign_in: PageSignIn, ended: SessionRecord) -> str | None:
    """Return the address at which the user signs out of the provider, if there is one."""
    if ended.provider is None or sign_in.provider is None:
        return None
    try:
        back = _address(request, sign_in, links_of(request).sign_out())
        return sign_in.provider.end_session(ended.provider.issuer, back)
    except Unavailable:
        return None


def _address(request: Request, sign_in: PageSignIn, path: str) -> str:
    """Return the address of a path of this server, as its users and the providers have it.

    Raises:
        InvalidUsage: When it is not known.
    """
    if sign_in.public is not None:
        return sign_in.public.origin + path
    if request.url.hostname in LOOPBACK_HOSTS:
        return f"{request.url.scheme}://{request.url.netloc}{path}"
    raise InvalidUsage(
        "This server does not know its own address.",
        detail="An admin must set BASECAMP_PUBLIC_URL to the address that users open.",
    )


def _with_cookie(response: Response, name: str, value: str, lifetime: timedelta) -> Response:
    """Set a cookie, or remove it; the prefix of its name demands this path, and HTTPS but on this machine."""
    seconds = int(lifetime.total_seconds())
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")
    return response
