"""Describe the versions of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dli.output.times import local

if TYPE_CHECKING:
    from dataspec.models import VersionInfo

DIGITS = 8
"""Number of a hash's digits in tables."""


def state_of(version: VersionInfo) -> str:
    """Return whether a version is registered, overridden, or loaded in Airflow; ``-`` for another one."""
    if version.registered and not version.effective:
        return "overridden"
    states = ("registered" if version.registered else "", "loaded" if version.loaded else "")
    return ", ".join(filter(None, states)) or "-"


def written_at(version: VersionInfo) -> str:
    """Return when a version was written."""
    return local(version.written_at) if version.written_at else f"before {local(version.written_before)}"


def action_of(version: VersionInfo) -> str:
    """Return what wrote a version, with the commit of a published one; ``-`` if unknown."""
    return f"{version.action} {version.commit[:DIGITS]}" if version.commit else version.action or "-"


def told(version: VersionInfo) -> str:
    """Return what is known of a version's writing, in one line."""
    by = f" by {version.written_by}" if version.written_by else ""
    how = f" ({action_of(version)})" if version.action else ""
    return f"{written_at(version)}{by}{how}"
