"""The settings of channels: what is wrong is named, and no secret is ever shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from basecamp.notifications.settings import NotificationSettings
from basecamp.server.settings import Settings
from dataspec.errors import InvalidSettings


def read(**given: str) -> NotificationSettings:
    return NotificationSettings.from_environment({f"BASECAMP_{name}": value for name, value in given.items()})


def test_nothing_is_required() -> None:
    settings = read()
    assert (settings.public_url, settings.slack_token, settings.smtp, settings.targets) == (None,) * 3 + ({},)


def test_the_settings_are_read_with_the_server_s_own() -> None:
    settings = Settings.from_environment(
        {
            "BASECAMP_STORE_URL": "memory:",
            "BASECAMP_AIRFLOW_URL": "http://127.0.0.1:1",
            "BASECAMP_AIRFLOW_AUTH": "none",
            "BASECAMP_PUBLIC_URL": "https://basecamp.example.com/",
        }
    )
    assert settings.notifications.public_url == "https://basecamp.example.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 25, "insecure", None, None)),
        ("smtp+starttls://u:p%40ss@mail.example.com", ("mail.example.com", 587, "starttls", "u", "p@ss")),
        ("smtps://u:p@mail.example.com:4650", ("mail.example.com", 4650, "ssl", "u", "p")),
    ],
)
def test_a_mail_server_s_address_says_how_to_talk_to_it(url: str, expected: tuple[object, ...]) -> None:
    smtp = read(SMTP_URL=url).smtp
    assert smtp is not None
    assert (smtp.host, smtp.port, smtp.mode, smtp.user, smtp.password) == expected


def test_named_targets_come_from_json_or_from_a_file_with_it(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    file.write_text(json.dumps({"oncall": "json://127.0.0.1/hook"}))
    assert (
        read(TARGETS=str(file)).targets
        == read(TARGETS=file.read_text()).targets
        == {"oncall": "json://127.0.0.1/hook"}
    )


@pytest.mark.rule("25.11")
@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("PUBLIC_URL", "basecamp.example.com", "BASECAMP_PUBLIC_URL is not a URL"),
        ("SLACK_WEBHOOK_URL", "hooks/s3cr3t", "BASECAMP_SLACK_WEBHOOK_URL is not a URL"),
        ("SMTP_URL", "http://user:s3cr3t@mail", "BASECAMP_SMTP_URL is not the URL of a mail server"),
        ("SMTP_URL", "smtp://user@mail", "BASECAMP_SMTP_URL is not the URL of a mail server"),
        ("SMTP_URL", "smtp://u:s3cr3t@mail:x", "BASECAMP_SMTP_URL is not the URL of a mail server"),
        ("EMAIL_FROM", "data", "BASECAMP_EMAIL_FROM is 'data'"),
        ("TARGETS", '{"oncall": 5}', "BASECAMP_TARGETS must be a JSON object"),
        ("TARGETS", '{"oncall": "s3cr3t', "BASECAMP_TARGETS must be a JSON object"),
        ("TARGETS", "/no/such/file", "BASECAMP_TARGETS: can't read the file"),
        (
            "TARGETS",
            '{"oncall": "nothing://s3cr3t"}',
            "BASECAMP_TARGETS: the value of 'oncall' is not an Apprise URL",
        ),
        ("WEBHOOK_NETWORKS", "10.0.0.0/8, everything", "BASECAMP_WEBHOOK_NETWORKS contains 'everything'"),
    ],
)
def test_a_wrong_setting_is_named_and_its_secret_is_not_shown(name: str, value: str, named: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read(**{name: value})
    assert named in caught.value.title
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.rule("26.5")
def test_no_secret_is_in_what_the_settings_look_like_or_in_a_redacted_text() -> None:
    settings = read(
        SLACK_TOKEN="xoxb-1-s3cr3t",
        SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T0/B0/s3cr3tpath",
        SMTP_URL="smtp://basecamp:s3cr3t%2Fword@mail.example.com",
        TARGETS='{"oncall": "discord://1234567/s3cr3ttoken"}',
    )
    assert "s3cr3t" not in repr(settings)
    text = (
        "xoxb-1-s3cr3t at https://hooks.slack.com/services/T0/B0/s3cr3tpath, /s3cr3tpath, s3cr3t/word "
        "and discord://1234567/s3cr3ttoken or s3cr3ttoken"
    )
    assert "s3cr3t" not in settings.redacted(text)


@pytest.mark.rule("38.18")
def test_registration_warns_of_a_channel_that_is_not_configured(register: Callable[..., Any]) -> None:
    targets = """  timezone: Asia/Seoul
notifications:
  on_late: [{type: target, name: oncall}, {type: slack, channel: "#data"}]
  on_failure: [{type: slack, channel: "#data"}, {type: webhook, url: "https://hooks.example.com/x"}]
"""
    warnings = register(replace={"  timezone: Asia/Seoul\n": targets}).json()["warnings"]
    assert [warning for warning in warnings if "messages" in warning] == [
        (
            "Its messages can't be sent: slack #data: Slack is not configured: "
            "set BASECAMP_SLACK_TOKEN or BASECAMP_SLACK_WEBHOOK_URL on the server."
        ),
        "Its messages can't be sent: target oncall: BASECAMP_TARGETS on the server has no 'oncall'.",
    ]
