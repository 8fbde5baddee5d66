"""The environment variables of `basecamp serve`."""

from __future__ import annotations

from pathlib import Path

import pytest

import basecamp.server.settings
from basecamp.airflow.authorization import AirflowToken, Everyone, Password
from basecamp.server.settings import Settings, check_host
from basecamp.shared.public_address import is_loopback
from dataspec.errors import InvalidSettings

ENVIRONMENT = {
    "BASECAMP_STORE_URL": "s3://bucket/specs",
    "BASECAMP_AIRFLOW_URL": "https://airflow.example.com/",
    "BASECAMP_AIRFLOW_USERNAME": "basecamp",
    "BASECAMP_AIRFLOW_PASSWORD": "hunter2",
}


def without(*names: str, **more: str) -> dict[str, str]:
    return {name: value for name, value in ENVIRONMENT.items() if name not in names} | more


def oidc_file(folder: Path) -> str:
    """Write the file of one issuer; return its path."""
    file = folder / "oidc.yaml"
    file.write_text(
        "issuers: [{issuer: https://id.example.com, audience: api}]\n"
        "rules: [{issuer: https://id.example.com, claims: {sub: me}, role: viewer}]\n"
    )
    return str(file)


def refused(environment: dict[str, str]) -> str:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment(environment)
    assert caught.value.detail is None
    assert "\n" not in caught.value.title
    return caught.value.title


@pytest.mark.rule("18.3")
def test_the_least_that_is_needed_leaves_the_rest_to_defaults() -> None:
    settings = Settings.from_environment(ENVIRONMENT)
    assert settings.airflow_url == "https://airflow.example.com"
    assert settings.airflow_public_url == settings.airflow_url
    assert settings.airflow_credentials == Password("basecamp", "hunter2")
    assert (settings.sync_interval_seconds, settings.log_level) == (300, "info")


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        ENVIRONMENT
        | {
            "BASECAMP_AIRFLOW_PUBLIC_URL": "https://af.example.com",
            "BASECAMP_AIRFLOW_TIMEOUT_SECONDS": "5",
            "SYNC_INTERVAL_SECONDS": "60",
            "BASECAMP_DIALECTS": "dli_default=duckdb, lake = Trino,",
            "BASECAMP_LOG_LEVEL": "DEBUG",
        }
    )
    assert settings.airflow_public_url == "https://af.example.com"
    assert (settings.airflow_timeout_seconds, settings.sync_interval_seconds) == (5, 60)
    assert settings.dialects == {"dli_default": "duckdb", "lake": "trino"}
    assert settings.log_level == "debug"


@pytest.mark.rule("18.3")
def test_a_token_or_an_open_airflow_stand_in_for_a_password() -> None:
    names = ("BASECAMP_AIRFLOW_USERNAME", "BASECAMP_AIRFLOW_PASSWORD")
    token = Settings.from_environment(without(*names, BASECAMP_AIRFLOW_TOKEN="t"))
    everyone = Settings.from_environment(without(*names, BASECAMP_AIRFLOW_AUTH="none"))
    assert token.airflow_credentials == AirflowToken("t")
    assert everyone.airflow_credentials == Everyone()


@pytest.mark.rule("18.2")
@pytest.mark.parametrize("name", ["BASECAMP_STORE_URL", "BASECAMP_AIRFLOW_URL"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_setting_is_named_with_an_example(name: str, value: str | None) -> None:
    title = refused(without(name) if value is None else ENVIRONMENT | {name: value})
    assert title.startswith(f"{name} is not set")
    assert f"Example: {name}=" in title


def test_a_typing_error_in_a_name_is_pointed_at() -> None:
    title = refused(without("BASECAMP_STORE_URL", BASECAMP_STOREURL="s3://bucket"))
    assert "BASECAMP_STOREURL is set: a typing error?" in title


@pytest.mark.rule("18.2")
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BASECAMP_AIRFLOW_URL", "airflow:8080", "is not an address"),
        ("BASECAMP_AIRFLOW_URL", "http://", "is not an address"),
        ("BASECAMP_AIRFLOW_URL", "http://a:b:c", "is not an address"),
        ("BASECAMP_AIRFLOW_URL", "ftp://airflow", "is not an address"),
        ("BASECAMP_AIRFLOW_PUBLIC_URL", "javascript:alert(1)", "is not an address"),
        ("BASECAMP_STORE_URL", "bucket", "write an address such as s3://bucket/prefix"),
        ("SYNC_INTERVAL_SECONDS", "5m", "whole number of seconds, 5 to 86400"),
        ("SYNC_INTERVAL_SECONDS", "0", "whole number of seconds, 5 to 86400"),
        ("SYNC_INTERVAL_SECONDS", "-5", "whole number of seconds"),
        ("BASECAMP_DIALECTS", "lake", "'lake' is not a connection and its dialect. Example: "),
        (
            "BASECAMP_DIALECTS",
            "lake=trinno",
            "'trinno' is not a SQL dialect that is known here. Did you mean",
        ),
        ("BASECAMP_CONNECTIONS", "lake=@ops, warehouse=data", "BASECAMP_CONNECTIONS:1:12: 'warehouse=data'"),
        ("BASECAMP_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("BASECAMP_LOG_FORMAT", "xml", "one of text, json"),
        ("BASECAMP_AIRFLOW_AUTH", "basic", "the only value is 'none'"),
        ("BASECAMP_AIRFLOW_AUTH", "none", "Set only one of"),
        ("BASECAMP_AIRFLOW_TOKEN", "t", "Set only one of"),
        ("BASECAMP_AIRFLOW_USERNAME", "", "BASECAMP_AIRFLOW_USERNAME is not set"),
        ("BASECAMP_AIRFLOW_PASSWORD", "", "BASECAMP_AIRFLOW_PASSWORD is not set"),
    ],
)
def test_a_wrong_setting_is_named_with_a_valid_example(name: str, value: str, told: str) -> None:
    title = refused(ENVIRONMENT | {name: value})
    assert name in title
    assert told in title


def test_credentials_have_no_place_in_an_address_and_are_not_repeated() -> None:
    title = refused(ENVIRONMENT | {"BASECAMP_AIRFLOW_URL": "http://me:hunter3@airflow"})
    assert "must not hold credentials" in title
    assert "hunter3" not in title


@pytest.mark.rule("18.3")
def test_without_any_credentials_all_ways_are_named() -> None:
    title = refused(without("BASECAMP_AIRFLOW_USERNAME", "BASECAMP_AIRFLOW_PASSWORD"))
    for name in ("USERNAME", "PASSWORD", "TOKEN", "AUTH=none"):
        assert f"BASECAMP_AIRFLOW_{name}" in title


@pytest.mark.rule("26.5")
def test_secrets_do_not_show_where_settings_are_printed() -> None:
    assert "hunter2" not in repr(Settings.from_environment(ENVIRONMENT))
    assert "hunter2" not in repr(Password("a", "hunter2"))
    assert "hunter2" not in repr(AirflowToken("hunter2"))


@pytest.mark.rule("26.1")
@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_loopback_hosts_are_recognised(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs" / "server.md").read_text()
    settings = [
        value
        for name, value in vars(basecamp.server.settings).items()
        if name.isupper() and isinstance(value, str)
    ]
    assert len(settings) >= 12
    for name in settings:
        assert f"| `{name}`" in page or f", `{name}` |" in page, name


@pytest.mark.rule("26.24")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, set()),
        ("", set()),
        ("tokens", {"tokens"}),
        ("oidc", {"oidc"}),
        ("tokens,oidc", {"tokens", "oidc"}),
        (" OIDC , Tokens ", {"tokens", "oidc"}),
    ],
)
def test_the_sign_in_that_is_on(tmp_path: Path, text: str | None, found: set[str]) -> None:
    more = {} if text is None else {"BASECAMP_AUTH": text}
    if "oidc" in found:
        more["BASECAMP_OIDC"] = oidc_file(tmp_path)
    assert Settings.from_environment(ENVIRONMENT | more).sign_in == found


@pytest.mark.rule("26.24")
@pytest.mark.parametrize(
    "text", ["none", "token", "tokens,", "tokens oidc", "tokens,tokens", "true", "ldap,tokens"]
)
def test_another_word_for_the_sign_in_is_refused(text: str) -> None:
    assert refused(ENVIRONMENT | {"BASECAMP_AUTH": text}).startswith(
        f"BASECAMP_AUTH is '{text}': write tokens"
    )


@pytest.mark.rule("26.1")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_beyond_loopback_a_server_needs_sign_in_and_its_public_name(host: str) -> None:
    signed = ENVIRONMENT | {"BASECAMP_AUTH": "tokens"}
    public = {"BASECAMP_PUBLIC_URL": "https://basecamp.example.com"}
    for environment, word in ((ENVIRONMENT | public, "BASECAMP_AUTH"), (signed, "BASECAMP_PUBLIC_URL")):
        with pytest.raises(InvalidSettings, match=word):
            check_host(host, Settings.from_environment(environment))
        check_host("127.0.0.1", Settings.from_environment(environment))
    check_host(host, Settings.from_environment(signed | public))


@pytest.mark.rule("26.40")
def test_sign_in_by_oidc_needs_its_file_and_the_file_needs_the_sign_in(tmp_path: Path) -> None:
    on, named = {"BASECAMP_AUTH": "tokens,oidc"}, {"BASECAMP_OIDC": oidc_file(tmp_path)}
    read = Settings.from_environment(ENVIRONMENT | on | named).oidc
    assert read is not None
    assert [issuer.audience for issuer in read.issuers] == ["api"]
    with pytest.raises(InvalidSettings, match="BASECAMP_AUTH names oidc: set BASECAMP_OIDC to its file"):
        Settings.from_environment(ENVIRONMENT | on)
    for auth in ({}, {"BASECAMP_AUTH": "tokens"}):
        with pytest.raises(
            InvalidSettings, match="BASECAMP_OIDC is set, but BASECAMP_AUTH does not name oidc"
        ):
            Settings.from_environment(ENVIRONMENT | auth | named)
