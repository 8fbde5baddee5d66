"""TLS of ``basecamp serve --tls-cert … --tls-key …``."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from dataspec.errors import InvalidSettings

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10
"""How long a client may take for the TLS handshake."""


class _EncryptedKey(Exception):
    """The key's file needs a password."""


@dataclass(slots=True)
class Tls:
    """A certificate and its key in files, which are read again when they change: certificates are renewed."""

    certificate: Path
    key: Path
    context: ssl.SSLContext = field(init=False)
    _read_at: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        """Read the files.

        Raises:
            InvalidSettings: When they are missing or don't belong together.
        """
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._read_at = self._modified_at()
        self._load(self.context)

    @classmethod
    def of(cls, certificate: str | None, key: str | None) -> Tls | None:
        """Return the TLS of the two options; None without them.

        Raises:
            InvalidSettings: When one of them is missing, or their files are not usable.
        """
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise InvalidSettings("TLS needs both --tls-cert and --tls-key.")
        return cls(Path(certificate), Path(key))

    def renew(self) -> None:
        """Take changed files for new connections; keep the old certificate if they can't be used."""
        try:
            modified_at = self._modified_at()
        except InvalidSettings:
            return  # being replaced
        if modified_at == self._read_at:
            return
        self._read_at = modified_at
        try:
            # First in a context of its own: half of a pair would break the one in use.
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            self._load(self.context)
        except InvalidSettings as error:
            log.error("The renewed certificate is not used: %s", error.title)  # noqa: TRY400 - its text says all
            return
        log.info("The certificate '%s' was read again.", self.certificate)

    def _modified_at(self) -> tuple[float, float]:
        try:
            return self.certificate.stat().st_mtime, self.key.stat().st_mtime
        except OSError as error:
            raise InvalidSettings(f"Can't read '{error.filename}': {error.strerror}.") from None

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
        except _EncryptedKey:
            raise InvalidSettings(
                f"The key '{self.key}' is encrypted: store it without a password, readable for the server alone."
            ) from None
        except ssl.SSLError as error:
            raise InvalidSettings(
                f"'{self.certificate}' and '{self.key}' are not a certificate and its key, in PEM: {error.reason}."
            ) from None
        except OSError as error:
            # The error names neither of the two files.
            raise InvalidSettings(
                f"Can't read '{self.certificate}' or '{self.key}': {error.strerror}."
            ) from None


def _refuse_password() -> str:
    raise _EncryptedKey
