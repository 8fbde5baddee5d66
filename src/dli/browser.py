"""Basecamp's pages, and the browser of this machine."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from dli.session import is_interactive

if TYPE_CHECKING:
    from dataspec.models import Backfill, WorkflowRun


def dataset_page(server: str, name: str) -> str:
    """Return the URL of a dataset's page on a server."""
    return f"{server.rstrip('/')}/workflows/{quote(name, safe='')}"


def run_page(server: str, run: WorkflowRun | Backfill) -> str:
    """Return the URL of the page of a run or a backfill on a server."""
    from dataspec.models import Backfill

    if isinstance(run, Backfill):
        return f"{server.rstrip('/')}/backfills/{quote(run.backfill_id, safe='')}"
    dataset = urlencode({"dataset": run.dataset_name})
    return f"{server.rstrip('/')}/runs/{quote(run.run_id, safe='')}?{dataset}"


def open_page(page: str) -> None:
    """Open a page, if a person sits here and a browser can open a window.

    A browser within the terminal would take it away from the command.
    """
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not desktop or os.environ.get("SSH_CONNECTION") or not is_interactive():
        return
    import webbrowser

    if page.startswith(("https://", "http://")):
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(page)
