"""HTML forms: their fields, the check of their origin, and the form that starts a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from dataspec.errors import CrossOrigin, DliError, InvalidUsage
from dataspec.models import RunPreview
from dataspec.spec.model import Parameter

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
PREFIX = "p."
"""Prefix of the fields for parameters, so that no parameter's name clashes with another field."""

_SAME_ORIGIN = "same-origin"


def require_same_origin(request: Request) -> None:
    """Reject a request that does not provably come from a page of this server.

    The server has no cookies and accepts every client that reaches it, so a page of another site could
    send requests through a user's browser. Every browser sends one of the two headers.

    Raises:
        CrossOrigin: When neither header names this server.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site == _SAME_ORIGIN or (site is None and origin is not None):  # the middleware checks the origin
        return
    raise CrossOrigin


async def _read_form(request: Request) -> dict[str, str]:
    require_same_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise InvalidUsage("The request is not a form of this page.")
    try:
        text = (await request.body()).decode("utf-8")
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise InvalidUsage("The form data can't be read.") from None
    return dict(fields)


Form = Annotated[dict[str, str], Depends(_read_form)]
"""The fields of a form from a page of this server."""


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


def input_attributes(parameter: Parameter) -> dict[str, str]:
    """Return the attributes of a parameter's input element, by its type."""
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
