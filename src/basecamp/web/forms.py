"""HTML forms: their fields, the check of their origin, and the form that starts a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from basecamp.access.sessions.cookie_keys import CSRF, SESSION_COOKIE, is_derived
from dataspec.errors import CrossOrigin, DliError, InvalidUsage
from dataspec.models import RunPreview
from dataspec.parameters import EXECUTION_DATE
from dataspec.schedule.partitions import Grid
from dataspec.spec.model import Parameter, ScheduleConfig

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
PREFIX = "p."
"""Prefix of the fields for parameters, so that no parameter's name clashes with another field."""
CSRF_FIELD = "csrf"
"""The field with the token that binds a form to its browser's cookie."""

_SAME_ORIGIN = "same-origin"


def require_same_origin(request: Request) -> None:
    """Reject a request that does not provably come from a page of this server.

    A page of another site could send requests through a user's browser. Every browser sends one of the two headers.

    Raises:
        CrossOrigin: When neither header names this server.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site == _SAME_ORIGIN or (site is None and origin is not None):  # the middleware checks the origin
        return
    raise CrossOrigin


class OutdatedForm(CrossOrigin):
    """A form that the page of another session has sent."""

    def __init__(self) -> None:
        DliError.__init__(
            self,
            "This form does not belong to your session.",
            detail="You have signed in or out since the page was opened, or the browser does not keep this server's "
            "cookies: it does for https addresses, and on this machine. Open the page again, and send its form.",
        )


class FormReader:
    """Reads the form of a page; refuses fields that the form does not have, and fields that occur twice.

    Args:
        names: The form's fields.
        parameters: Whether it has fields for parameters, too.
        cookie: The cookie to which the form is bound; by default that of the session, if the caller has one.
    """

    def __init__(self, *names: str, parameters: bool = False, cookie: str | None = None) -> None:
        self._names = frozenset({*names, CSRF_FIELD})
        self._parameters = parameters
        self._cookie = cookie

    async def __call__(self, request: Request) -> dict[str, str]:
        """Return the fields of a form from a page of this server.

        Raises:
            CrossOrigin: When it does not come from a page of this server.
            InvalidUsage: When it is not this form.
        """
        require_same_origin(request)
        fields = parse_form(request, await request.body())
        request.state.form = dict(fields)
        for name, count in Counter(name for name, _ in fields).items():
            if count > 1 or not (name in self._names or (self._parameters and name.startswith(PREFIX))):
                told = f"occurs {count} times" if count > 1 else "does not belong to this form"
                raise InvalidUsage(
                    f"The field '{name}' {told}.", detail="Open the page again, and send its form."
                )
        form = dict(fields)
        self._check_token(request, form.pop(CSRF_FIELD, ""))
        return form

    def _check_token(self, request: Request, token: str) -> None:
        """Refuse a form without the token that only a page of the same browser has."""
        cookie = self._cookie
        if cookie is None and request.state.caller.method == "session":
            cookie = SESSION_COOKIE
        if cookie is not None and not is_derived(token, request.cookies.get(cookie, ""), CSRF):
            raise OutdatedForm


def parse_form(request: Request, body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form.

    Raises:
        InvalidUsage: When the body is not a form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise InvalidUsage("The request is not a form of this page.")
    try:
        text = body.decode("utf-8")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise InvalidUsage("The form data can't be read.") from None


PauseForm = Annotated[dict[str, str], Depends(FormReader("key", "reason"))]
UnpauseForm = Annotated[dict[str, str], Depends(FormReader("key"))]
StopForm = Annotated[dict[str, str], Depends(FormReader("reason"))]
RunFields = Annotated[dict[str, str], Depends(FormReader("do", "key", parameters=True))]


def wants_preview(form: Mapping[str, str]) -> bool:
    """Return whether a user pressed the button of the preview.

    Raises:
        InvalidUsage: For a button that the form does not have.
    """
    button = form.get("do", "run")
    if button not in {"run", "preview"}:
        raise InvalidUsage(f"The form has no button '{button}'.", detail="Its buttons are run and preview.")
    return button == "preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForm:
    """The form that starts a run, as the user filled it in."""

    values: Mapping[str, str] = field(default_factory=dict)
    """The entered texts by parameter."""
    error: DliError | None = None
    """Why the last request failed."""
    preview: RunPreview | None = None

    @classmethod
    def of(cls, form: Mapping[str, str]) -> RunForm:
        """Read the entered parameters."""
        values = {name.removeprefix(PREFIX): text for name, text in form.items() if name.startswith(PREFIX)}
        return cls(values=values)

    def parameters(self) -> dict[str, Any]:
        """Return the entered parameters; an empty field leaves the default."""
        return {name: text for name, text in self.values.items() if text.strip()}


_INPUTS: dict[str, dict[str, str]] = {
    "integer": {"type": "number", "step": "1"},
    "float": {"type": "number", "step": "any"},
    "date": {"type": "date"},
    "datetime": {"type": "text", "placeholder": "2024-01-15T09:00:00+09:00"},
    "list": {"type": "text", "placeholder": 'A,B or ["A", 1]'},
}


def input_attributes(parameter: Parameter, schedule: ScheduleConfig | None) -> dict[str, str]:
    """Return the attributes of a parameter's input element, by its type; a finer partition than a day is a time."""
    if parameter.name == EXECUTION_DATE and Grid.of(schedule).is_finer_than_a_day:
        return {"type": "text", "placeholder": "2024-01-15T13:00"}
    return _INPUTS.get(parameter.kind, {"type": "text"})


def choices(parameter: Parameter) -> list[str]:
    """Return the options of a parameter; none if it accepts any value of its type."""
    if parameter.choices is not None:
        return [as_text(choice) for choice in parameter.choices]
    return ["true", "false"] if parameter.type == "boolean" else []


def as_text(value: Any) -> str:
    """Return a parameter's value as a user would enter it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else str(value)
