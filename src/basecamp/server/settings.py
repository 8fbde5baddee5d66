"""The environment variables of ``basecamp serve``.

A production server is configured by its environment alone, so that one image runs
everywhere. Every value is checked before anything is opened; an error names the missing or wrong
variable and a valid example.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from basecamp.access.oidc.settings import OIDC, OidcSettings
from basecamp.airflow.authorization import AirflowToken, Credentials, Everyone, Password
from basecamp.notifications.settings import NotificationSettings
from basecamp.outages.request_budget import REQUEST_SECONDS
from basecamp.server.logs import LogFormat
from basecamp.shared.public_address import PUBLIC_URL, is_loopback
from dataspec.errors import InvalidSettings, InvalidUsage
from dataspec.spec.connection_teams import ConnectionTeams

LogLevel = Literal["debug", "info", "warning", "error"]
SignIn = Literal["tokens", "oidc"]
Word = TypeVar("Word", bound=str)

SIGN_INS: tuple[SignIn, ...] = ("tokens", "oidc")
LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")
LOG_FORMATS: tuple[LogFormat, ...] = ("text", "json")
MIN_SYNC_INTERVAL_SECONDS = 5
MAX_SYNC_INTERVAL_SECONDS = 24 * 3600
MAX_TIMEOUT_SECONDS = 120

STORE_URL = "BASECAMP_STORE_URL"
AIRFLOW_URL = "BASECAMP_AIRFLOW_URL"
AIRFLOW_PUBLIC_URL = "BASECAMP_AIRFLOW_PUBLIC_URL"
AIRFLOW_USERNAME = "BASECAMP_AIRFLOW_USERNAME"
AIRFLOW_PASSWORD = "BASECAMP_AIRFLOW_PASSWORD"  # noqa: S105 - a variable's name
AIRFLOW_TOKEN = "BASECAMP_AIRFLOW_TOKEN"  # noqa: S105 - a variable's name
AIRFLOW_AUTH = "BASECAMP_AIRFLOW_AUTH"
AIRFLOW_TIMEOUT = "BASECAMP_AIRFLOW_TIMEOUT_SECONDS"
REQUEST_TIME = "BASECAMP_REQUEST_SECONDS"
SYNC_INTERVAL = "SYNC_INTERVAL_SECONDS"
DIALECTS = "BASECAMP_DIALECTS"
CONNECTIONS = "BASECAMP_CONNECTIONS"
LOG_LEVEL = "BASECAMP_LOG_LEVEL"
LOG_FORMAT = "BASECAMP_LOG_FORMAT"
AUTH = "BASECAMP_AUTH"
TRUSTED_PROXIES = "BASECAMP_TRUSTED_PROXIES"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of ``basecamp serve``."""

    store_url: str
    airflow_url: str
    airflow_public_url: str
    """The address of Airflow's page for users; the gateway's if not given."""
    airflow_credentials: Credentials = field(repr=False)
    airflow_timeout_seconds: float = 10.0
    """Timeout of one request to Airflow."""
    request_seconds: float = REQUEST_SECONDS
    """How long one request may wait for the store and Airflow, in sum (specification 18.16)."""
    sync_interval_seconds: int = 300
    """Seconds between two checks of the store (specification 6.4)."""
    dialects: Mapping[str, str] = field(default_factory=dict)
    """The SQL dialects of connections that Airflow's API does not show, by the connection's name."""
    connections: ConnectionTeams = field(default_factory=ConnectionTeams)
    """The teams whose specs may use each limited connection."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    sign_in: frozenset[SignIn] = frozenset()
    """The kinds of sign-in that are on; without one every caller may do everything."""
    oidc: OidcSettings | None = None
    """The issuers of ``oidc``, and the rules that give roles."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of the proxies whose forwarded headers are believed (specification 26.90)."""
    notifications: NotificationSettings = field(default_factory=NotificationSettings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            InvalidSettings: Naming the first variable that is missing or wrong, in one line.
        """
        read = _Reader(environment)
        airflow_url = read.http_url(AIRFLOW_URL)
        sign_in = read.sign_in()
        return cls(
            store_url=read.store_url(STORE_URL),
            airflow_url=airflow_url,
            airflow_public_url=read.http_url(AIRFLOW_PUBLIC_URL, default=airflow_url),
            airflow_credentials=read.credentials(),
            airflow_timeout_seconds=read.number(AIRFLOW_TIMEOUT, 10, 1, MAX_TIMEOUT_SECONDS),
            request_seconds=read.number(REQUEST_TIME, int(REQUEST_SECONDS), 1, MAX_TIMEOUT_SECONDS),
            sync_interval_seconds=read.number(
                SYNC_INTERVAL, 300, MIN_SYNC_INTERVAL_SECONDS, MAX_SYNC_INTERVAL_SECONDS
            ),
            dialects=read.dialects(),
            connections=ConnectionTeams.parse(environment.get(CONNECTIONS, ""), CONNECTIONS),
            log_level=read.one_of(LOG_LEVEL, LOG_LEVELS, default="info"),
            log_format=read.one_of(LOG_FORMAT, LOG_FORMATS, default="text"),
            sign_in=sign_in,
            oidc=_oidc(environment, sign_in),
            trusted_proxies=read.networks(TRUSTED_PROXIES),
            notifications=NotificationSettings.from_environment(environment),
        )


def read_store_url(environment: Mapping[str, str]) -> str:
    """Return the store's address, for commands that need the store alone.

    Raises:
        InvalidSettings: When it is missing or wrong.
    """
    return _Reader(environment).store_url(STORE_URL)


def check_host(host: str, settings: Settings) -> None:
    """Refuse to listen on a network without sign-in, or without the name by which it is reached (specification 26.1).

    Raises:
        InvalidSettings: For a host that is not loopback.
    """
    if is_loopback(host):
        return
    if not settings.sign_in:
        raise InvalidSettings(
            f"--host {host} is reached from other machines, and without sign-in anybody there could do everything. "
            f"Set {AUTH}=tokens, oidc or tokens,oidc; or use --host 127.0.0.1."
        )
    if settings.notifications.public_url is None:
        raise InvalidSettings(
            f"--host {host} is reached from other machines: set {PUBLIC_URL} to the address that users open, whose "
            f"host the server then answers. Example: {PUBLIC_URL}=https://basecamp.example.com"
        )


class _Reader:
    """Reads single variables; an empty one counts as not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def _get(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None

    def _required(self, name: str, example: str) -> str:
        if value := self._get(name):
            return value
        near = get_close_matches(name, set(self._environment) - {name}, n=1, cutoff=0.85)
        hint = f" ({near[0]} is set: a typing error?)" if near else ""
        raise InvalidSettings(f"{name} is not set{hint}. Example: {name}={example}")

    def store_url(self, name: str) -> str:
        value = self._required(name, "s3://bucket/prefix or file:///var/lib/basecamp/store")
        if not (_SCHEME.match(value) or value.startswith(("/", "."))):
            raise InvalidSettings(
                f"{name} is '{value}': write an address such as s3://bucket/prefix or file:///a/folder."
            )
        return value

    def http_url(self, name: str, *, default: str | None = None) -> str:
        value = self._get(name) or default or self._required(name, "http://airflow.internal:8080")
        try:
            parts = urlsplit(value)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise InvalidSettings(f"{name} is not an address: write it like http://airflow.internal:8080.")
        if parts.username or parts.password:
            raise InvalidSettings(
                f"{name} must not hold credentials: put them in {AIRFLOW_USERNAME} and {AIRFLOW_PASSWORD}."
            )
        return value.rstrip("/")

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self._get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            raise InvalidSettings(f"{name} is '{text}': write a whole number of seconds, {least} to {most}.")
        return int(text)

    def dialects(self) -> dict[str, str]:
        found = {}
        for entry in filter(None, (part.strip() for part in (self._get(DIALECTS) or "").split(","))):
            connection, _, dialect = (part.strip() for part in entry.partition("="))
            if not (connection and dialect):
                raise InvalidSettings(
                    f"{DIALECTS}: '{entry}' is not a connection and its dialect. "
                    f"Example: {DIALECTS}=dli_default=duckdb,lake=trino"
                )
            found[connection] = _dialect(dialect)
        return found

    def networks(self, name: str) -> tuple[str, ...]:
        entries = [entry.strip() for entry in (self._get(name) or "").split(",")]
        try:
            return tuple(str(ipaddress.ip_network(entry)) for entry in entries if entry)
        except ValueError as error:
            raise InvalidSettings(
                f"{name}: {error}. Write addresses or networks, as {name}=127.0.0.1,10.0.0.0/8"
            ) from None

    def sign_in(self) -> frozenset[SignIn]:
        text = self._get(AUTH)
        words = [word.strip().lower() for word in text.split(",")] if text else []
        found = frozenset(kind for kind in SIGN_INS if kind in words)
        if len(found) < len(words):
            raise InvalidSettings(
                f"{AUTH} is '{text}': write tokens, oidc or tokens,oidc; leave it out for none."
            )
        return found

    def one_of(self, name: str, words: tuple[Word, ...], *, default: Word) -> Word:
        text = (self._get(name) or default).lower()
        found = next((word for word in words if word == text), None)
        if found is None:
            raise InvalidSettings(f"{name} is '{text}': write one of {', '.join(words)}.")
        return found

    def credentials(self) -> Credentials:
        username, password = self._get(AIRFLOW_USERNAME), self._get(AIRFLOW_PASSWORD)
        token, auth = self._get(AIRFLOW_TOKEN), self._get(AIRFLOW_AUTH)
        if auth not in {None, "none"}:
            raise InvalidSettings(
                f"{AIRFLOW_AUTH} is '{auth}': the only value is 'none', for an Airflow that lets everyone in."
            )
        given = [name for name, value in ((AIRFLOW_TOKEN, token), (AIRFLOW_AUTH, auth)) if value]
        if username or password:
            given.append(f"{AIRFLOW_USERNAME} and {AIRFLOW_PASSWORD}")
        if len(given) > 1:
            raise InvalidSettings(f"Set only one of {'; '.join(given)}.")
        if token:
            return AirflowToken(token)
        if auth:
            return Everyone()
        return self._password(username, password)

    def _password(self, username: str | None, password: str | None) -> Credentials:
        if username and password:
            return Password(username, password)
        missing = AIRFLOW_PASSWORD if username else AIRFLOW_USERNAME
        if username or password:
            raise InvalidSettings(f"{missing} is not set: Airflow needs a user name and a password.")
        raise InvalidSettings(
            f"{AIRFLOW_USERNAME} and {AIRFLOW_PASSWORD} are not set (nor {AIRFLOW_TOKEN}). "
            f"For an Airflow that lets everyone in, set {AIRFLOW_AUTH}=none."
        )


def _oidc(environment: Mapping[str, str], sign_in: frozenset[SignIn]) -> OidcSettings | None:
    """Return the issuers: there if ``oidc`` is on, and then alone."""
    settings = OidcSettings.from_environment(environment)
    if "oidc" in sign_in and settings is None:
        raise InvalidSettings(
            f"{AUTH} names oidc: set {OIDC} to its file. Example: {OIDC}=/etc/basecamp/oidc.yaml"
        )
    if "oidc" not in sign_in and settings is not None:
        raise InvalidSettings(f"{OIDC} is set, but {AUTH} does not name oidc. Example: {AUTH}=tokens,oidc")
    return settings


def _dialect(name: str) -> str:
    from dataspec.spec.dialects import check_dialect

    try:
        return check_dialect(name)
    except InvalidUsage as error:
        raise InvalidSettings(f"{DIALECTS}: {error.title} {error.detail}") from None
