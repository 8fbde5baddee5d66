"""Keep the token of a login, and forget it again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from dli.credentials.kept import KeptSignIn, KeptSignIns
from dli.credentials.lookup import IN_KEYRING, is_keyring_allowed
from dli.credentials.system_keyring import KeyringUnusable, remove, store
from dli.session import is_interactive, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from dli.client.addresses import Address


def prepare(server: Address, environ: Mapping[str, str]) -> None:
    """Check that the sign-in to a server can be kept, before a person goes to the page for it.

    Raises:
        InvalidSettings: When it can't, or the variable has an unknown value.
    """
    is_keyring_allowed(environ)
    kept = KeptSignIns(environ)
    kept.check_writable()
    kept.read(server)


def keep(server: Address, token: str, name: str, expires_at: datetime, environ: Mapping[str, str]) -> str:
    """Keep a token in the system's keyring, or in a file where that can't be used; return where it is.

    Raises:
        OSError: When it can't be written.
    """
    kept, keyring = KeptSignIns(environ), None
    before = kept.read(server)
    if is_keyring_allowed(environ):
        try:
            keyring = store(str(server), token, is_interactive=is_interactive())
        except KeyringUnusable as error:
            say(f"The token is not kept in {IN_KEYRING}: {error}.")
    if before is not None and before.keyring and before.keyring != keyring:
        with suppress(KeyringUnusable):  # the token of the sign-in before, which this one replaces
            remove(before.keyring, str(server))
    kept.write(
        server,
        KeptSignIn(
            server=str(server),
            name=name,
            expires_at=expires_at,
            token=None if keyring else token,
            keyring=keyring,
        ),
    )
    return IN_KEYRING if keyring else str(kept.path(server))


def forget(server: Address, kept: KeptSignIn, environ: Mapping[str, str]) -> Iterator[str]:
    """Remove a token from this machine; yield a warning for what stays.

    Raises:
        OSError: When its file can't be removed.
    """
    if kept.keyring:
        try:
            remove(kept.keyring, str(server))
        except KeyringUnusable as error:
            yield f"The token stays in {IN_KEYRING}: {error}."
    KeptSignIns(environ).remove(server)
