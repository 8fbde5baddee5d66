"""Where the running `dli` was installed from, so that Airflow gets the very same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dataspec.errors import InternalError

PACKAGE = "dli"


@dataclass(frozen=True, slots=True)
class Origin:
    """A way to install `dli` once more."""

    requirement: Sequence[str]
    """Arguments for ``uv pip install``."""
    identity: str
    """Changes when another installation would differ from the one made before."""


def running_origin() -> Origin:
    """Find out where the running `dli` came from (PEP 610).

    Raises:
        InternalError: When it was not installed at all.
    """
    try:
        return origin_of(distribution(PACKAGE))
    except PackageNotFoundError:
        raise InternalError(
            "dli is not installed in this Python.", detail="Install it, for example: pip install 'dli[dev]'"
        ) from None


def origin_of(installed: Distribution) -> Origin:
    """Return the origin of an installed distribution.

    An editable one is the source itself: only its metadata can grow old. Any other is
    told apart by the hashes of its files.
    """
    recorded = json.loads(installed.read_text("direct_url.json") or "{}")
    if recorded.get("dir_info", {}).get("editable"):
        source = _path(recorded["url"])
        return Origin(
            ("--editable", str(source)), f"{source} {_digest((source / 'pyproject.toml').read_text())}"
        )
    requirement = _requirement(recorded) or f"{PACKAGE}=={installed.version}"
    return Origin((requirement,), f"{requirement} {_digest(installed.read_text('RECORD') or '')}")


def _requirement(recorded: dict[str, Any]) -> str | None:
    if not recorded:
        return None
    url: str = recorded["url"]
    if version_control := recorded.get("vcs_info"):
        return f"{PACKAGE} @ {version_control['vcs']}+{url}@{version_control['commit_id']}"
    return f"{PACKAGE} @ {url}"


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
