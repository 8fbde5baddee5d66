"""The file of ``BASECAMP_OIDC``: whose tokens count, and the rules that give roles (``docs/access.md``, "OIDC").

No role comes from anything but a rule, and a rule compares claims exactly: it has no wildcards, and none of the claims
that people choose for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from basecamp.access.principal import Grant, grant_named, team_named
from basecamp.shared.public_address import is_loopback
from dataspec.errors import InvalidSettings, InvalidSpec, InvalidUsage
from dataspec.problems import Problem, first_of, nearest
from dataspec.spec.parse import read_model
from dataspec.spec.yaml_reader import Document, read_document

OIDC = "BASECAMP_OIDC"
CLIENT_SECRET = "BASECAMP_OIDC_CLIENT_SECRET"  # noqa: S105 - a variable's name

ALGORITHMS = ("RS256", "ES256", "RS384", "RS512", "ES384", "ES512", "PS256", "PS384", "PS512")
"""Signatures with a private key. With ``none`` or a shared secret (HS256), others could make tokens as well."""
DEFAULT_ALGORITHMS = ALGORITHMS[:2]

_PROTOCOL_CLAIMS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "nonce", "typ", "auth_time"})
"""Claims about the token, which all tokens of the issuer share or none repeats."""
_LABELS = frozenset(
    {"preferred_username", "name", "nickname", "given_name", "family_name", "upn", "unique_name", "profile"}
)
"""Claims that people may change, or choose, themselves."""
_REPOSITORIES = frozenset({"repository", "repository_id", "project_path", "project_id"})
_PLACES = frozenset({"ref", "environment", "sub", "job_workflow_ref", "ci_config_ref_uri"})
_PUBLIC_CI = ("https://token.actions.githubusercontent.com", "https://gitlab.com")
"""CI systems that anybody may use: their tokens say little without the repository."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _check_issuer(url: str) -> str:
    if (reason := why_no_address(url)) is not None:
        raise ValueError(f"{reason}.")
    if urlsplit(url).query:
        raise ValueError("an issuer has no query.")
    return url


def _check_algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(f"'{name}' is not allowed; write some of {', '.join(ALGORITHMS)}.")
    return name


def _check_team(name: str) -> str:
    try:
        return team_named(name)
    except InvalidUsage as error:
        raise ValueError(error.title) from None


_Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class PageClient(_Part):
    """The page's client at the provider, for people who sign in there."""

    client_id: _Text
    scopes: list[_Text] = ["openid", "profile"]


class IssuerSettings(_Part):
    """An issuer whose tokens count."""

    issuer: Annotated[_Text, AfterValidator(_check_issuer)]
    """As its tokens have it in ``iss``, to the letter."""
    audience: _Text
    """What its tokens must have in ``aud``: the name of this API."""
    algorithms: Annotated[list[Annotated[str, AfterValidator(_check_algorithm)]], Field(min_length=1)] = [
        *DEFAULT_ALGORITHMS
    ]
    page: PageClient | None = None


class Rule(_Part):
    """Gives a role to the tokens of an issuer whose claims are equal to its own."""

    issuer: _Text
    claims: Annotated[dict[str, Any], Field(min_length=1)]
    role: Literal["viewer", "operator", "editor", "admin"]
    teams: Annotated[list[Annotated[str, AfterValidator(_check_team)]], Field(min_length=1)] | None = None

    @property
    def grant(self) -> Grant:
        """What the rule gives."""
        return grant_named(self.role, self.teams)

    def matches(self, issuer: str, claims: Mapping[str, Any]) -> bool:
        """Return whether it is for a token of this issuer with these claims."""
        return issuer == self.issuer and _matches(self.claims, claims)


class _File(_Part):
    issuers: Annotated[list[IssuerSettings], Field(min_length=1)]
    rules: Annotated[list[Rule], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """The issuers and the rules."""

    issuers: tuple[IssuerSettings, ...]
    rules: tuple[Rule, ...]
    client_secret: str | None = field(default=None, repr=False)
    """Of the page's client; a client that can keep no secret has none."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> OidcSettings | None:
        """Read the file that ``BASECAMP_OIDC`` names; return None if the variable is not set.

        Raises:
            InvalidSettings: With every problem of the file, each at its line and column.
        """
        path = environment.get(OIDC, "").strip()
        if not path:
            return None
        try:
            body = Path(path).read_bytes()
        except OSError as error:
            raise InvalidSettings(f"{OIDC} is '{path}', which can't be read: {error.strerror}.") from None
        return cls.parse(body, path, client_secret=environment.get(CLIENT_SECRET, "").strip() or None)

    @classmethod
    def parse(cls, body: bytes, file: str, *, client_secret: str | None = None) -> OidcSettings:
        """Read the file's content.

        Raises:
            InvalidSettings: With every problem, each at its line and column.
        """
        try:
            read = _read(body, file)
        except InvalidSpec as error:
            raise InvalidSettings(f"{OIDC}: {file} is not valid.", detail=error.detail) from None
        return cls(tuple(read.issuers), tuple(read.rules), client_secret)

    @property
    def page(self) -> IssuerSettings | None:
        """The issuer where people sign in on the page."""
        return next((issuer for issuer in self.issuers if issuer.page), None)

    def grants(self, issuer: str, claims: Mapping[str, Any]) -> tuple[Grant, ...]:
        """Return what the rules give to a token of an issuer: the grants of all that match."""
        return tuple(dict.fromkeys(rule.grant for rule in self.rules if rule.matches(issuer, claims)))

    def compared(self, issuer: str) -> list[str]:
        """Return the claims that the rules of an issuer compare."""
        return sorted({claim for rule in self.rules if rule.issuer == issuer for claim in rule.claims})


def why_no_address(url: str) -> str | None:
    """Return why a provider must not be asked at an address; None for HTTPS, and for HTTP on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not an address"
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        return "it is not an address"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "an address here has neither credentials nor a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return None
    return "it must begin with https:// (http:// is for a provider on this machine alone)"


def _matches(wanted: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
    return all(_is_in(value, claims.get(name)) for name, value in wanted.items())


def _is_in(wanted: Any, found: Any) -> bool:
    """Return whether a claim is a value, or a list that holds it; within a mapping, whether all its keys are so."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and _matches(wanted, found)
    texts = map(_text, found) if isinstance(found, list) else [_text(found)]
    return _text(wanted) in texts


def _text(value: Any) -> str | None:
    """Return a value as text: CI systems send numbers and booleans as texts."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else None


def _read(body: bytes, file: str) -> _File:
    document = read_document(body, file)
    read = read_model(document, _File, "the file of sign-in")
    if problems := first_of(_problems(read, document)):
        raise InvalidSpec(problems)
    return read


def _problems(read: _File, document: Document) -> Iterator[Problem]:
    """Yield the problems that involve more than one key."""
    names = [issuer.issuer for issuer in read.issuers]
    pages = 0
    for index, issuer in enumerate(read.issuers):
        at = ("issuers", index)
        if issuer.issuer in names[:index]:
            yield document.problem((*at, "issuer"), f"the issuer '{issuer.issuer}' is defined twice.")
        if issuer.page is None:
            continue
        pages += 1
        if pages > 1:
            yield document.problem(
                (*at, "page"), "the page signs people in at one issuer alone.", at_key=True
            )
        if issuer.page.client_id == issuer.audience:
            message = (
                "the audience of the API must not be the page's client id: an ID token would open the API."
            )
            yield document.problem((*at, "audience"), message)
        if "openid" not in issuer.page.scopes:
            yield document.problem((*at, "page", "scopes"), "the scopes must hold 'openid'.")
    for index, rule in enumerate(read.rules):
        if rule.issuer not in names:
            message = f"'{rule.issuer}' is none of the issuers above."
            yield document.problem(("rules", index, "issuer"), message, hint=nearest(rule.issuer, names))
        yield from _claim_problems(rule, document, ("rules", index, "claims"))


def _claim_problems(rule: Rule, document: Document, at: tuple[str | int, ...]) -> Iterator[Problem]:
    for name, value in rule.claims.items():
        if name in _PROTOCOL_CLAIMS:
            message = f"'{name}' says nothing about who has the token; compare another claim."
            yield document.problem((*at, name), message, at_key=True)
        if name in _LABELS:
            message = f"'{name}' is a label that people may choose; compare 'sub', a group or a role."
            yield document.problem((*at, name), message, at_key=True)
        for path, reason in _value_problems(value, (*at, name)):
            yield document.problem(path, reason)
    if "email" in rule.claims and _text(rule.claims.get("email_verified")) != "true":
        message = "an e-mail address that is not verified is anybody's: add 'email_verified: true'."
        yield document.problem((*at, "email"), message, hint="Better compare 'sub'.", at_key=True)
    if set(rule.claims) <= {"email_verified"}:
        yield document.problem(at, "this gives the role to everybody whose address is verified.")
    if _is_open_to_other_repositories(rule):
        message = "a rule for a CI system compares the repository, and its 'ref' or 'environment'."
        yield document.problem(at, message, hint="Otherwise any branch, or any repository, has the role.")


def _value_problems(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict):
        if not value:
            yield path, "expected keys and values."
        for name, inner in value.items():
            yield from _value_problems(inner, (*path, name))
    elif _text(value) in {None, ""}:
        yield path, "expected a text, a whole number, true or false; write one rule for each value."
    elif "*" in str(value):
        yield path, "claims are compared exactly: '*' is no wildcard."


def _is_open_to_other_repositories(rule: Rule) -> bool:
    names = set(rule.claims)
    is_public = any(rule.issuer == ci or rule.issuer.startswith(f"{ci}/") for ci in _PUBLIC_CI)
    if "sub" in names or not (is_public or names & _REPOSITORIES):
        return False
    return not (names & _REPOSITORIES and names & _PLACES)
