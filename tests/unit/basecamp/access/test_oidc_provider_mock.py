"""A real provider on loopback, a program of its own: discovery, its keys, and its ID tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from access_doubles import refused
from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.shared.clock import ManualClock
from oidc_provider import provider_of_another_maker

CALLBACK = "http://127.0.0.1/callback"


@pytest.fixture
def issuer() -> Iterator[str]:
    with provider_of_another_maker() as issuer:
        yield issuer


def id_token(issuer: str, client: str, nonce: str | None) -> str:
    """Sign a person in, as the page does, and return the ID token for a client."""
    asked = {"client_id": client, "response_type": "code", "redirect_uri": CALLBACK, "scope": "openid"}
    if nonce:
        asked["nonce"] = nonce
    form = httpx.post(f"{issuer}/oauth2/authorize", params=asked, data={"sub": "alice"}, timeout=120)
    [code] = parse_qs(urlsplit(form.headers["location"]).query)["code"]
    answer = httpx.post(
        f"{issuer}/oauth2/token",
        data={"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK},
        auth=(client, "secret"),
        timeout=120,
    )
    return str(answer.json()["id_token"])


def tokens_for(issuer: str) -> OidcTokens:
    entry = {"issuer": issuer, "audience": "basecamp-api", "page": {"client_id": "basecamp-page"}}
    rules = [{"issuer": issuer, "claims": {"sub": "alice"}, "role": "viewer"}]
    settings = OidcSettings.parse(json.dumps({"issuers": [entry], "rules": rules}).encode(), "oidc.yaml")
    return OidcTokens(settings, ManualClock(datetime.now(UTC)))


@pytest.mark.rule("26.43")
def test_id_token_of_a_real_provider_signs_in_to_the_page_and_does_not_open_the_api(issuer: str) -> None:
    tokens = tokens_for(issuer)
    [settings] = tokens._settings.issuers
    for_page = id_token(issuer, "basecamp-page", "n-17")
    assert tokens.id_claims(for_page, settings)["nonce"] == "n-17"
    with refused("It is for another audience"):
        tokens.verify(for_page)
    with refused("It is an ID token"):
        tokens.verify(id_token(issuer, "basecamp-api", "n-18"))
    with refused("It is an ID token"):
        tokens.verify(id_token(issuer, "basecamp-api", None))
