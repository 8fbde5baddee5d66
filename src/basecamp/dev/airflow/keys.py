"""The keys that Airflow's parts must share; made once for a home, readable by its owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from dataspec.files import write_atomically


@dataclass(frozen=True, slots=True)
class Keys:
    """Airflow's three keys: another one after a restart would lock out what was encrypted or signed."""

    fernet: str
    """Encrypts connections in Airflow's database."""
    jwt: str
    """Signs the tokens of the API and of tasks."""
    session: str
    """Signs sessions of Airflow's page."""


def kept_keys(file: Path) -> Keys:
    """Return the keys kept in a file; make them, and the file, the first time."""
    if file.exists():
        return Keys(**json.loads(file.read_text()))
    keys = Keys(
        base64.urlsafe_b64encode(os.urandom(32)).decode(), secrets.token_hex(64), secrets.token_hex(32)
    )
    write_atomically(file, json.dumps(asdict(keys)), mode=0o600)
    return keys
