"""Keys that are derived from a cookie's value, so that what is stored or sent reveals nothing without the cookie."""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken

SESSION_COOKIE = "__Host-basecamp"
"""The cookie of a session."""
SIGN_IN_COOKIE = "__Host-basecamp-sign-in"
"""The cookie of a browser that is signing in."""
CSRF = "csrf"
"""The purpose of the token in forms."""

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def new_cookie() -> str:
    """Return a new value of a cookie: 256 random bits."""
    return secrets.token_urlsafe(32)


def is_cookie(value: str) -> bool:
    """Return whether a text has the form of a cookie's value that this program sets."""
    return _VALUE.fullmatch(value) is not None


def stored_id(cookie: str) -> str:
    """Return the id under which the store has what belongs to a cookie."""
    return sha256(cookie.encode()).hexdigest()


def derived(cookie: str, purpose: str) -> str:
    """Return a secret for one purpose, 43 letters of base64url; it does not reveal the cookie."""
    return urlsafe_b64encode(_key(cookie, purpose)).decode().rstrip("=")


def is_derived(given: str, cookie: str, purpose: str) -> bool:
    """Return whether a text is the secret that a cookie has for one purpose, in a time that does not depend on it."""
    return is_cookie(cookie) and hmac.compare_digest(given.encode(), derived(cookie, purpose).encode())


def sealed(cookie: str, purpose: str, text: str, now: datetime) -> str:
    """Encrypt a text with a key for one purpose."""
    return _box(cookie, purpose).encrypt_at_time(text.encode(), int(now.timestamp())).decode()


def opened(
    cookie: str, purpose: str, box: str, now: datetime, *, within: timedelta | None = None
) -> str | None:
    """Return an encrypted text; None if it was encrypted by another key, altered, or too long ago."""
    key = _box(cookie, purpose)
    try:
        if within is None:
            return key.decrypt(box.encode()).decode()
        return key.decrypt_at_time(box.encode(), int(within.total_seconds()), int(now.timestamp())).decode()
    except InvalidToken:
        return None


def _box(cookie: str, purpose: str) -> Fernet:
    return Fernet(urlsafe_b64encode(_key(cookie, purpose)))


def _key(cookie: str, purpose: str) -> bytes:
    return hmac.digest(cookie.encode(), purpose.encode(), "sha256")
