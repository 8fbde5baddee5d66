"""The file of sign-in: what is refused, with its place, and which claims a rule matches."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.principal import Grant, Role
from dataspec.errors import InvalidSettings

GITHUB = "https://token.actions.githubusercontent.com"
VALID = f"""\
issuers:
  - issuer: {GITHUB}
    audience: https://data.example.com
  - issuer: https://id.example.com/realms/data
    audience: basecamp-api
    algorithms: [RS256]
    page: {{client_id: basecamp, scopes: [openid, profile, groups]}}
rules:
  - issuer: {GITHUB}
    claims: {{repository: acme/datasets, ref: refs/heads/main}}
    role: editor
    teams: ["@ops", data]
  - issuer: https://id.example.com/realms/data
    claims: {{groups: data-admins}}
    role: admin
"""


def parse(text: str) -> OidcSettings:
    return OidcSettings.parse(textwrap.dedent(text).encode(), "oidc.yaml")


def rule(claims: str, *, issuer: str = "https://id.example.com") -> str:
    return f"""\
issuers:
  - {{issuer: "{issuer}", audience: api}}
rules:
  - issuer: "{issuer}"
    role: viewer
    claims: {claims}
"""


@pytest.mark.rule("26.40")
def test_file_is_read() -> None:
    settings = parse(VALID)
    github, keycloak = settings.issuers
    assert (github.algorithms, keycloak.algorithms) == (["RS256", "ES256"], ["RS256"])
    assert settings.page == keycloak
    assert settings.rules[0].grant == Grant(Role.EDITOR, frozenset({"@ops", "@data"}))
    assert settings.rules[1].grant == Grant(Role.ADMIN)


def test_secret_comes_from_the_environment_alone_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "oidc.yaml"
    file.write_text(VALID)
    read = OidcSettings.from_environment(
        {"BASECAMP_OIDC": str(file), "BASECAMP_OIDC_CLIENT_SECRET": "s3cr3t"}
    )
    assert read is not None
    assert read.client_secret == "s3cr3t"
    assert "s3cr3t" not in repr(read)
    assert OidcSettings.from_environment({}) is None


def test_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidSettings, match=r"BASECAMP_OIDC is '.*none.yaml', which can't be read: No such"
    ):
        OidcSettings.from_environment({"BASECAMP_OIDC": str(tmp_path / "none.yaml")})


@pytest.mark.rule("26.40")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("audience: basecamp-api", "audiense: basecamp-api", "oidc.yaml:5:5: unknown key 'audiense'. Did you mean 'audience'?"),
        ("rules:", "rulez:", "unknown key 'rulez'"),
        ("role: editor", "role: owner", "oidc.yaml:11:11: 'rules[0].role': 'owner' is not one of"),
        ("[RS256]", "[none]", "oidc.yaml:6:18: 'issuers[1].algorithms[0]': 'none' is not allowed"),
        ("[RS256]", "[RS256, HS256]", "'HS256' is not allowed"),
        ("[RS256]", "[]", "issuers[1].algorithms"),
        ("audience: basecamp-api", "audience: basecamp", "must not be the page's client id"),
        ("[openid, profile, groups]", "[profile]", "must hold 'openid'"),
        ("client_id: basecamp,", "client_id: basecamp, client_secret: x,", "unknown key 'client_secret'"),
        ("https://id.example.com/realms/data\n    audience", "http://id.example.com/realms/data\n    audience", "it must begin with https://"),
        ("https://id.example.com/realms/data\n    audience", "https://u:p@id.example.com\n    audience", "neither credentials"),
        ("https://id.example.com/realms/data\n    audience", "https://id.example.com/?x=1\n    audience", "no query"),
        ("https://id.example.com/realms/data\n    audience", "id.example.com\n    audience", "not an address"),
        (f"issuer: {GITHUB}\n    claims", "issuer: https://token.actions.githubusercontent.co\n    claims", "none of the issuers above. Did you mean"),
        ("https://id.example.com/realms/data\n    audience", f"{GITHUB}\n    audience", "is defined twice"),
        ('["@ops", data]', "[]", "rules[0].teams"),
        ('["@ops", data]', '["a b"]', "'a b' is not a team"),
        ("role: admin", "role: admin\n    role: viewer", "defined twice"),
        (VALID, "", "the file is empty"),
        (VALID, "- a", "mapping of keys"),
    ],
)  # fmt: skip
def test_mistake_is_refused_with_its_place(old: str, new: str, problem: str) -> None:
    assert old in VALID
    with pytest.raises(InvalidSettings) as refused:
        parse(VALID.replace(old, new, 1))
    assert "oidc.yaml" in str(refused.value.detail)
    assert problem in str(refused.value.detail)


@pytest.mark.rule("26.41")
@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ("{}", "rules[0].claims"),
        ("{email: a@example.com}", "add 'email_verified: true'"),
        ("{email: a@example.com, email_verified: false}", "add 'email_verified: true'"),
        ("{email_verified: true}", "everybody whose address is verified"),
        ("{iss: https://id.example.com}", "'iss' says nothing"),
        ("{aud: api, sub: x}", "'aud' says nothing"),
        ("{preferred_username: alice}", "'preferred_username' is a label"),
        ("{upn: alice@example.com}", "'upn' is a label"),
        ("{repository: acme/*, ref: x}", "'*' is no wildcard"),
        ("{groups: [a, b]}", "write one rule for each value"),
        ("{groups: null}", "write one rule for each value"),
        ('{groups: ""}', "write one rule for each value"),
        ("{realm_access: {}}", "expected keys and values"),
        ("{realm_access: {roles: a*}}", "'*' is no wildcard"),
        ("{repository: acme/datasets}", "compares the repository, and its 'ref' or 'environment'"),
        ("{project_path: acme/datasets}", "compares the repository"),
    ],
)
def test_rule_that_would_let_too_many_in_is_refused(claims: str, problem: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        parse(rule(claims))
    assert problem in str(refused.value.detail)


@pytest.mark.rule("26.41")
@pytest.mark.parametrize("issuer", [GITHUB, f"{GITHUB}/acme", "https://gitlab.com"])
@pytest.mark.parametrize(
    "claims", ["{ref: refs/heads/main}", "{repository_owner: acme}", "{environment: production}"]
)
def test_rule_for_a_public_ci_system_names_the_repository(issuer: str, claims: str) -> None:
    with pytest.raises(InvalidSettings, match="not valid"):
        parse(rule(claims, issuer=issuer))
    parse(rule("{repository_id: 1, environment: production}", issuer=issuer))
    parse(rule('{sub: "repo:acme/datasets:ref:refs/heads/main"}', issuer=issuer))


@pytest.mark.rule("26.41")
@pytest.mark.parametrize(
    ("claims", "found", "is_match"),
    [
        ("{groups: ops}", {"groups": ["dev", "ops"]}, True),
        ("{groups: ops}", {"groups": "ops"}, True),
        ("{groups: ops}", {"groups": ["dev-ops", "OPS", "ops "]}, False),
        ("{groups: ops}", {"groups": {"ops": True}}, False),
        ("{groups: ops}", {"groups": [["ops"]]}, False),
        ("{groups: ops}", {}, False),
        ("{a: x, b: y}", {"a": "x"}, False),
        ("{a: x, b: y}", {"a": "x", "b": "y", "c": "z"}, True),
        ("{realm_access: {roles: editor}}", {"realm_access": {"roles": ["viewer", "editor"]}}, True),
        ("{realm_access: {roles: editor}}", {"realm_access": {"roles": ["viewer"]}}, False),
        ("{realm_access: {roles: editor}}", {"realm_access": "editor"}, False),
        ("{project: 17}", {"project": "17"}, True),
        ("{project: 17}", {"project": 17}, True),
        ("{project: 1}", {"project": True}, False),
        ("{is_staff: true}", {"is_staff": True}, True),
        ("{is_staff: true}", {"is_staff": "true"}, True),
        ("{is_staff: true}", {"is_staff": 1}, False),
        ('{a: "None"}', {"a": None}, False),
    ],
)
def test_rule_matches_claims_exactly(claims: str, found: dict[str, Any], is_match: bool) -> None:
    settings = parse(rule(claims))
    assert bool(settings.grants("https://id.example.com", found)) is is_match
    assert not settings.grants("https://id.example.com/", found), "another issuer"


@pytest.mark.rule("26.41")
def test_all_rules_that_match_give_their_grants() -> None:
    settings = parse("""\
        issuers: [{issuer: https://id.example.com, audience: api}]
        rules:
          - {issuer: https://id.example.com, claims: {groups: all}, role: viewer}
          - {issuer: https://id.example.com, claims: {groups: ops}, role: operator, teams: [ops]}
          - {issuer: https://id.example.com, claims: {groups: dev}, role: editor}
          - {issuer: https://id.example.com, claims: {sub: me}, role: viewer}
        """)
    found = settings.grants("https://id.example.com", {"groups": ["all", "ops"], "sub": "me"})
    assert found == (Grant(Role.VIEWER), Grant(Role.OPERATOR, frozenset({"@ops"})))


@pytest.mark.rule("26.40")
def test_examples_of_the_documentation_are_valid() -> None:
    page = (Path(__file__).parents[4] / "docs" / "access.md").read_text()
    [file] = re.findall(r"```yaml\n(issuers:\n.*?)```", page, re.DOTALL)
    assert parse(file).page is not None
    claims = re.findall(r"`(\{project_path: .*?\})`|`(realm_access: \{.*?\})`", page, re.DOTALL)
    assert len(claims) >= 2
    for braced, bare in claims:
        parse(rule(" ".join((braced or f"{{{bare}}}").split())))
