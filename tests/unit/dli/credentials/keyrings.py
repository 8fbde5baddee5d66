"""Keyrings for tests, which ``PYTHON_KEYRING_BACKEND`` names."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend


class Hanging(KeyringBackend):
    """Never answers."""

    priority = 0.5

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(3600)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        time.sleep(3600)


class Failing(KeyringBackend):
    """Fails, with the secret in its message."""

    priority = 0.5

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("the vault\nis on fire")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"can't encrypt {password}")


class InFile(KeyringBackend):
    """Keeps its secrets in the file that KEYRING_FILE names."""

    priority = 0.5

    def get_password(self, service: str, username: str) -> str | None:
        found: str | None = self._all().get(f"{service} {username}")
        return found

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path().write_text(json.dumps({**self._all(), f"{service} {username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        rest = {key: value for key, value in self._all().items() if key != f"{service} {username}"}
        self._path().write_text(json.dumps(rest))

    def _all(self) -> dict[str, str]:
        known: dict[str, str] = json.loads(self._path().read_text()) if self._path().exists() else {}
        return known

    @staticmethod
    def _path() -> Path:
        return Path(os.environ["KEYRING_FILE"])
