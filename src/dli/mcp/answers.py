"""The answers of the tools: the models of the client as JSON, and errors in the command line's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver.exceptions import ToolError

from dataspec.errors import DliError
from dli.client.protocol import encode

if TYPE_CHECKING:
    from dli.client.calls import Listing

Answer = dict[str, Any]
"""A JSON object, with the names of the API."""


def answer(item: object) -> Answer:
    """Return a model as JSON."""
    found: Answer = json.loads(json.dumps(item, default=encode))
    return found


def answers(name: str, listing: Listing[Any], limit: int) -> Answer:
    """Return a list as JSON: at most ``limit`` items, with how many are left out, and its warnings."""
    items = list(listing)
    found: Answer = {name: [answer(item) for item in items[:limit]], "warnings": list(listing.warnings)}
    if len(items) > limit:
        found["left_out"] = len(items) - limit
    return found


@contextmanager
def errors_for_the_assistant() -> Iterator[None]:
    """Turn an error into the answer of a tool that failed."""
    try:
        yield
    except DliError as error:
        raise ToolError("\n".join(filter(None, (error.text, error.detail)))) from error
