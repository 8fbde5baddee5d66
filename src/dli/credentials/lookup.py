"""Find the credential of a command: what identifies the user to its server, and whether it may go there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSettings, Unauthorized
from dli.client.protocol import TOKEN
from dli.credentials.kept import KeptSignIn, KeptSignIns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dli.client.addresses import Address
    from dli.config.settings import Settings

PLACE = "DLI_CREDENTIALS"
"""The variable that says where ``dli login`` keeps tokens."""
IN_KEYRING = "the system's keyring"


@dataclass(frozen=True, slots=True)
class Credential:
    """A token for one server."""

    token: str = field(repr=False)
    place: str
    """Where it comes from: a variable, a file, or the system's keyring."""
    kept: KeptSignIn | None = None
    """What ``dli login`` has kept of it."""


def find_credential(
    settings: Settings, server: Address, environ: Mapping[str, str], warn: Callable[[str], None]
) -> Credential | None:
    """Return the token for a server: that in ``DLI_TOKEN``, else the one that ``dli login`` has kept.

    Args:
        settings: The settings, which know who named the server.
        server: The server's address.
        environ: The environment.
        warn: Called with the reason why a token is not sent.

    Returns:
        None without one, for an address with a user and password, and for a server that a project names without the
        user's permission.

    Raises:
        Unauthorized: When the keyring does not give its token.
        InvalidSettings: When the file of a kept sign-in is not safe, or can't be read.
    """
    if server.credentials:
        return None  # a request has one credential, and the address names it
    given = environ.get(TOKEN, "").strip()
    kept = None if given else KeptSignIns(environ).read(server)
    if not given and kept is None:
        return None
    if not settings.may_sign_in():
        name = TOKEN if given else "your sign-in"
        warn(
            f"{settings.get('server.url').origin}: {name} is not sent to {server}, because only this file names it.\n"
            f"If that is your server, run: {settings.trust_command}"
        )
        return None
    return Credential(given, TOKEN) if kept is None else credential_of(kept, server, environ)


def is_keyring_allowed(environ: Mapping[str, str]) -> bool:
    """Tell whether tokens may be kept in the system's keyring.

    Raises:
        InvalidSettings: When the variable has an unknown value.
    """
    value = environ.get(PLACE) or "keyring"
    if value not in {"keyring", "file"}:
        raise InvalidSettings(f"{PLACE} is 'keyring' or 'file', got '{value}'.")
    return value == "keyring"


def credential_of(kept: KeptSignIn, server: Address, environ: Mapping[str, str]) -> Credential:
    """Return the token of a kept sign-in.

    Raises:
        Unauthorized: When the keyring does not give it.
    """
    if kept.keyring is None:
        return Credential(kept.token or "", str(KeptSignIns(environ).path(server)), kept)
    if not is_keyring_allowed(environ):
        raise Unauthorized(
            f"The sign-in to {server} is in {IN_KEYRING}, which {PLACE}=file leaves out.",
            detail="Sign in again: dli login",
        )
    from dli.credentials.system_keyring import KeyringUnusable, read

    try:
        token = read(kept.keyring, str(server))
    except KeyringUnusable as error:
        raise Unauthorized(
            f"The sign-in to {server} is in {IN_KEYRING}, which can't be used: {error}.",
            detail=f"Unlock it, or keep the sign-in in a file: {PLACE}=file dli login",
        ) from None
    if token is None:
        raise Unauthorized(
            f"The sign-in to {server} is not in {IN_KEYRING} any more.", detail="Sign in again: dli login"
        )
    return Credential(token, IN_KEYRING, kept)


def explain(error: Unauthorized, credential: Credential | None, *, is_interactive: bool) -> None:
    """Say a server's refusal of an unknown caller in one line, with the next step for their credential.

    Args:
        error: The refusal.
        credential: What was sent.
        is_interactive: Whether a person sits at the terminal.
    """
    reason, kept = error.title, credential.kept if credential else None
    if credential is None:
        step = "Sign in: dli login" + ("" if is_interactive else f", or set {TOKEN}")
    elif kept is None:
        step = f"{TOKEN} holds it: set it to a valid token"
    else:
        step = "Sign in again: dli login"
        if kept.expires_at < datetime.now(UTC):
            reason = f"The sign-in to {kept.server} has expired."
    error.text, error.detail = f"{reason} {step}", None
