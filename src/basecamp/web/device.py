"""Routes of the page that lets a command line sign in (``dli login``)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from basecamp.api.dependencies import Caller, ServicesOf
from basecamp.web.forms import FormReader
from basecamp.web.rendering import PageRoute, page
from dataspec.errors import InvalidUsage

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

DeviceForm = Annotated[dict[str, str], Depends(FormReader("code", "do"))]


@router.get("/device")
def show_device(request: Request, services: ServicesOf, caller: Caller, code: str = "") -> Response:
    """Ask for a code; with one, show the machine that wants to sign in."""
    pending = services.logins.find(code, caller) if code else None
    return page(request, "device.html", code=code, pending=pending)


@router.post("/device")
def approve_or_deny_login(
    request: Request, services: ServicesOf, caller: Caller, form: DeviceForm
) -> Response:
    """Let a machine sign in with the rights of the person who looks at the page, or deny it."""
    code, button = form.get("code", ""), form.get("do", "")
    if button not in {"approve", "deny"}:
        raise InvalidUsage(f"The form has no button '{button}'.", detail="Its buttons are approve and deny.")
    settle = services.logins.approve if button == "approve" else services.logins.deny
    done = button if settle(code, caller) else None
    return page(request, "device.html", code=code, pending=None, done=done)
