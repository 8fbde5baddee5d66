"""Warnings beside a single answer: a list has a field for them, a single thing has a header."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Response

HEADER = "Dli-Warning"


def put_warnings(response: Response, warnings: Sequence[str]) -> None:
    """Say in a header of the answer what did not answer, and how old what is shown is."""
    if warnings:
        response.headers[HEADER] = " ".join(warnings).encode("ascii", "replace").decode()
