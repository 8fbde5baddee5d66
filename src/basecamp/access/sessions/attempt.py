"""A sign-in that a browser has begun at a provider, with state, nonce and PKCE.

Nothing is stored for a browser that is not signed in. It gets a cookie of random bits, and the state, the nonce and
the verifier of each sign-in are derived from it, so several tabs can sign in at a time.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from basecamp.access.sessions.cookie_keys import derived, is_cookie, opened, sealed
from basecamp.shared.clock import Clock

SIGN_IN_TIME = timedelta(minutes=10)
"""How long a sign-in at a provider may take."""

_STATE = "sign-in state"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that a browser has begun."""

    cookie: str = field(repr=False)
    state: str = field(repr=False)
    target: str
    """The page at which the user ends up."""

    @classmethod
    def begin(cls, cookie: str, target: str, clock: Clock) -> Attempt:
        """Begin a sign-in."""
        return cls(cookie, sealed(cookie, _STATE, target, clock.now()), target)

    @classmethod
    def read(cls, cookie: str, state: str, clock: Clock) -> Attempt | None:
        """Return the sign-in of a state; None if another browser began it, or too long ago."""
        if not is_cookie(cookie):
            return None
        target = opened(cookie, _STATE, state, clock.now(), within=SIGN_IN_TIME)
        return None if target is None else cls(cookie, state, target)

    @property
    def nonce(self) -> str:
        """The nonce that the ID token must have."""
        return derived(self.cookie, f"nonce {self.state}")

    @property
    def verifier(self) -> str:
        """The verifier of PKCE (RFC 7636)."""
        return derived(self.cookie, f"verifier {self.state}")

    @property
    def challenge(self) -> str:
        """The challenge of PKCE, by the method S256."""
        return urlsafe_b64encode(sha256(self.verifier.encode()).digest()).decode().rstrip("=")
