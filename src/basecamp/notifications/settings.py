"""Settings of the channels, from environment variables; secrets are never shown."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from basecamp.notifications.channels.apprise_log import is_apprise_url
from basecamp.notifications.wording import LANGUAGES, Language
from basecamp.shared.public_address import PUBLIC_URL, PublicAddress
from dataspec.errors import InvalidSettings
from dataspec.spec.model import Target

SLACK_TOKEN = "BASECAMP_SLACK_TOKEN"  # noqa: S105 - a variable's name
SLACK_WEBHOOK_URL = "BASECAMP_SLACK_WEBHOOK_URL"
SLACK_API_URL = "BASECAMP_SLACK_API_URL"
SMTP_URL = "BASECAMP_SMTP_URL"
EMAIL_FROM = "BASECAMP_EMAIL_FROM"
TARGETS = "BASECAMP_TARGETS"
WEBHOOK_NETWORKS = "BASECAMP_WEBHOOK_NETWORKS"
ALERTS = "BASECAMP_ALERTS"
LANGUAGE = "BASECAMP_LANGUAGE"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SmtpMode = Literal["insecure", "starttls", "ssl"]

_SMTP_MODES: Mapping[str, tuple[SmtpMode, int]] = {
    "smtp": ("insecure", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("ssl", 465),
}
SLACK_API = "https://slack.com/api/"
_ALERTS: TypeAdapter[tuple[Target, ...]] = TypeAdapter(tuple[Target, ...])
_SHORTEST_SECRET = 6
"""Shorter parts of an address are words such as a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """The outgoing mail server."""

    host: str
    port: int
    mode: SmtpMode
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSettings:
    """Settings of the channels; each is optional until a spec uses its channel."""

    public_url: str | None = None
    """Base URL of Basecamp's pages, for links."""
    slack_token: str | None = field(default=None, repr=False)
    slack_webhook_url: str | None = field(default=None, repr=False)
    slack_api_url: str = SLACK_API
    smtp: Smtp | None = None
    email_from: str | None = None
    targets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Apprise URLs by their names in specs."""
    webhook_networks: tuple[Network, ...] = ()
    """Non-public networks that webhooks may reach."""
    alerts: tuple[Target, ...] = ()
    """Who is told of the server's own trouble, such as a scheduler that is lost."""
    language: Language = "en"
    """The language of messages."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> NotificationSettings:
        """Read the settings.

        Raises:
            InvalidSettings: For the first invalid variable, in one line; never shows a value that may be secret.
        """
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        return cls(
            public_url=PublicAddress.parse(given[PUBLIC_URL]).url if PUBLIC_URL in given else None,
            slack_token=given.get(SLACK_TOKEN),
            slack_webhook_url=_http_url(SLACK_WEBHOOK_URL, given) if SLACK_WEBHOOK_URL in given else None,
            slack_api_url=_http_url(SLACK_API_URL, given) if SLACK_API_URL in given else SLACK_API,
            smtp=_smtp(given[SMTP_URL]) if SMTP_URL in given else None,
            email_from=_address(given[EMAIL_FROM]) if EMAIL_FROM in given else None,
            targets=_targets(given[TARGETS]) if TARGETS in given else {},
            webhook_networks=tuple(_networks(given.get(WEBHOOK_NETWORKS, ""))),
            alerts=_alerts(given[ALERTS]) if ALERTS in given else (),
            language=_language(given.get(LANGUAGE, "en")),
        )

    def redacted(self, text: str) -> str:
        """Return a text, such as a library's error, with ``***`` in place of each secret."""
        for secret in sorted(set(self._secrets()), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _secrets(self) -> Iterator[str]:
        passwords = [self.slack_token, self.smtp.password if self.smtp else None]
        yield from filter(None, passwords)
        urls = [*self.targets.values(), *([self.slack_webhook_url] if self.slack_webhook_url else [])]
        for url in urls:
            yield url
            for part in _parts(urlsplit(url)):
                if len(part) >= _SHORTEST_SECRET:
                    yield from (part, unquote(part))


def _parts(url: SplitResult) -> Iterator[str]:
    """Yield the parts of an address that may be secret; for many services that includes the host."""
    user, _, host = url.netloc.rpartition("@")
    yield from user.split(":")
    if url.scheme not in {"http", "https", "json", "jsons", "mailto", "mailtos"}:
        yield host
    yield from url.path.split("/")
    yield from (value for _, value in parse_qsl(url.query))


def _http_url(name: str, given: Mapping[str, str]) -> str:
    try:
        parts = urlsplit(given[name])
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidSettings(f"{name} is not a URL. It must begin with https:// or http://.")
    return given[name]


def _smtp(url: str) -> Smtp:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    credentials = bool(parts.username) + bool(parts.password)
    if parts.scheme not in _SMTP_MODES or not parts.hostname or port == 0 or credentials == 1:
        raise InvalidSettings(
            f"{SMTP_URL} is not the URL of a mail server. It must begin with "
            f"{', '.join(f'{scheme}://' for scheme in _SMTP_MODES)}. "
            f"Example: {SMTP_URL}=smtp+starttls://user:password@mail.example.com:587"
        )
    mode, usual_port = _SMTP_MODES[parts.scheme]
    return Smtp(
        host=parts.hostname,
        port=port or usual_port,
        mode=mode,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _address(text: str) -> str:
    name, at, domain = text.rpartition("@")
    if not (name and at and domain) or "\n" in text:
        raise InvalidSettings(
            f"{EMAIL_FROM} is '{text}', which is not an e-mail address. Example: data@example.com"
        )
    return text


def _targets(text: str) -> Mapping[str, str]:
    try:
        data = json.loads(text if text.startswith("{") else Path(text).read_text())
    except OSError as error:
        raise InvalidSettings(f"{TARGETS}: can't read the file: {error.strerror}.") from None
    except ValueError:
        data = None
    if not isinstance(data, dict) or not all(isinstance(url, str) for url in data.values()):
        raise InvalidSettings(
            f"{TARGETS} must be a JSON object of names and Apprise URLs, or the path of a file with one. "
            f"""Example: {TARGETS}={{"oncall": "pagerduty://KEY@APIKEY"}}"""
        )
    for name, url in data.items():
        if not is_apprise_url(url):
            raise InvalidSettings(
                f"{TARGETS}: the value of '{name}' is not an Apprise URL. See Apprise's list of services."
            )
    return data


def _networks(text: str) -> Iterator[Network]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            yield ipaddress.ip_network(part)
        except ValueError:
            raise InvalidSettings(
                f"{WEBHOOK_NETWORKS} contains '{part}', which is not a network. Example: 10.20.0.0/16,10.30.0.0/16"
            ) from None


def _alerts(text: str) -> tuple[Target, ...]:
    """Read a JSON list of targets, in the form that specs have."""
    try:
        return _ALERTS.validate_json(text)
    except ValidationError:
        raise InvalidSettings(
            f"{ALERTS} must be a JSON list of targets as a spec has them. "
            f"""Example: {ALERTS}=[{{"type": "slack", "channel": "#data-ops"}}]"""
        ) from None


def _language(text: str) -> Language:
    found = next((language for language in LANGUAGES if language == text), None)
    if found is None:
        raise InvalidSettings(f"{LANGUAGE} is '{text}'. It must be one of: {', '.join(LANGUAGES)}")
    return found
