"""Open the store that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dataspec.distribution import install_command
from dataspec.errors import InvalidSettings
from dataspec.store import open_store

if TYPE_CHECKING:
    from dataspec.store import Store
    from dli.config.settings import Setting, Settings


def open_named_store(settings: Settings) -> Store:
    """Open the store of the setting ``store.url``.

    Raises:
        InvalidSettings: When no store is set, or its folder does not exist: a typing error must not
            create an empty store.
        StoreUnreachable: When the store does not answer.
    """
    setting = settings.get("store.url")
    if not setting.value:
        raise InvalidSettings(
            "No store is set.",
            detail="Name it with --store, DLI_STORE_URL, or 'store.url' in dli.yaml: "
            "s3://bucket/prefix, or a folder.",
        )
    url = _checked(str(setting.value), setting, settings.root)
    try:
        return open_store(url)
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"A store in a bucket needs the package '{error.name}'.",
            detail=f"It comes with the extra 's3': {install_command('s3')}",
        ) from error


def _checked(url: str, setting: Setting, root: Path) -> str:
    """Return the address; check a folder, which is relative to the project if a settings file names it."""
    parts = urlsplit(url)
    if parts.scheme not in {"", "file"}:
        return url
    folder = Path(unquote(parts.path)) if parts.scheme else Path(url).expanduser()
    if setting.origin.partition(":")[0].endswith((".yaml", ".yml")):
        folder = root / folder
    if not folder.is_dir():
        raise InvalidSettings(
            f"{setting.origin}: no such folder: {url}",
            detail="Create it first for a new store; write a bucket as s3://bucket/prefix.",
        )
    return str(folder.absolute())
