"""Keep tokens in the system's keyring: within two seconds, and without a prompt (specification 26.63)."""

from __future__ import annotations

from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from dataspec.distribution import install_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

T = TypeVar("T")

SECONDS = 2.0
"""How long the keyring may take in all."""
SERVICE = "dli"
"""The name of this program in the keyring."""

_SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - the name of a class
_PROMPTING = "keyring.backends.kwallet."
"""Opens a window for the password of a wallet that is locked."""
_UNSUITABLE = ("keyring.backends.fail.", "keyring.backends.null.", "keyring.backends.chainer.")


class KeyringUnusable(Exception):
    """The keyring can't be used; the text says why."""


def store(server: str, token: str, *, is_interactive: bool) -> str:
    """Store a token.

    Args:
        server: The server's address, under which it is found.
        token: The token.
        is_interactive: Whether a person sits at the terminal.

    Returns:
        The class of the keyring, for reading it.

    Raises:
        KeyringUnusable: When there is no keyring, or it is locked, fails or does not answer.
    """
    return _bounded(lambda: _store(server, token, is_interactive=is_interactive), secret=token)


def read(keyring: str, server: str) -> str | None:
    """Return the token of a server from the keyring of a class; None when it is not there any more.

    Raises:
        KeyringUnusable: When the keyring is locked, fails or does not answer.
    """
    return _bounded(lambda: _read(keyring, server))


def remove(keyring: str, server: str) -> None:
    """Remove the token of a server from the keyring of a class.

    Raises:
        KeyringUnusable: When the keyring is locked, fails or does not answer.
    """
    _bounded(lambda: _remove(keyring, server))


def _store(server: str, token: str, *, is_interactive: bool) -> str:
    found = _chosen()
    keyring = _name_of(found)
    if keyring.startswith(_UNSUITABLE):
        raise KeyringUnusable("there is none")
    if keyring.startswith(_PROMPTING) and not is_interactive:
        raise KeyringUnusable("it may ask for a password, and there is no terminal")
    if keyring == _SECRET_SERVICE:
        _check_unlocked()
    found.set_password(SERVICE, server, token)
    return keyring


def _read(keyring: str, server: str) -> str | None:
    if keyring != _SECRET_SERVICE:
        return _opened(keyring).get_password(SERVICE, server)
    from dli.credentials.secret_service import secret_service

    with secret_service(SECONDS) as service:
        token, locked = service.find({"service": SERVICE, "username": server})
    if locked:
        raise KeyringUnusable("it is locked")
    return token


def _remove(keyring: str, server: str) -> None:
    # Read first: to remove what is locked, the keyring would ask for its password.
    if _read(keyring, server) is not None:
        _opened(keyring).delete_password(SERVICE, server)


def _chosen() -> KeyringBackend:
    """Return the keyring that the user has configured, else the most suitable one.

    ``keyring.get_keyring`` would return one that asks all of them in turn, where several are suitable.
    """
    try:
        from keyring import backend, core
    except ModuleNotFoundError:
        raise KeyringUnusable(f"dli is installed without it ({install_command('keyring')})") from None
    configured = core.load_env() or core.load_config()
    if configured is not None:
        return configured
    # Below 1 it is not recommended: most of those keep secrets in plain files.
    suitable = (one for one in backend.get_all_keyring() if one.priority >= 1)
    found = [one for one in suitable if not _name_of(one).startswith(_UNSUITABLE)]
    if not found:
        raise KeyringUnusable("there is none")
    return max(found, key=lambda one: one.priority)


def _name_of(keyring: KeyringBackend) -> str:
    return f"{type(keyring).__module__}.{type(keyring).__qualname__}"


def _opened(keyring: str) -> KeyringBackend:
    """Return the keyring of a class, without loading the others as ``keyring.get_keyring`` does."""
    module, _, name = keyring.rpartition(".")
    opened: KeyringBackend = getattr(import_module(module), name)()
    return opened


def _check_unlocked() -> None:
    from dli.credentials.secret_service import secret_service

    with secret_service(SECONDS) as service:
        if not service.is_unlocked:
            raise KeyringUnusable("it is locked")


def _bounded(call: Callable[[], T], *, secret: str = "") -> T:
    """Return the result of a call to the keyring, whose error never shows the secret.

    Raises:
        KeyringUnusable: When it fails, or does not answer in time; it is left behind in its thread then.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - each keyring has errors of its own
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if results:
        return results[0]
    if not errors:
        raise KeyringUnusable(f"it does not answer within {SECONDS:g} s")
    if isinstance(errors[0], KeyringUnusable):
        raise errors[0]
    reason = " ".join(str(errors[0]).split()) or type(errors[0]).__name__
    raise KeyringUnusable(f"it fails ({reason.replace(secret, '***') if secret else reason})")
