"""Each kind of channel, against a server that speaks its protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from ipaddress import ip_network

import pytest

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.channels.sending import ChannelSender
from basecamp.notifications.channels.webhook import send_to_webhook
from basecamp.notifications.notification import Link, Message, Notification
from basecamp.notifications.settings import NotificationSettings, Smtp
from dataspec.spec.model import EmailTarget, NamedTarget, SlackTarget, Target, WebhookTarget
from receivers import SLACK_SECRET, SLACK_TOKEN, Answer, MailServer, Slack, WebhookReceiver

SLACK = SlackTarget(type="slack", channel="#data")
MAIL = EmailTarget(type="email", to="kim@example.com")
ONCALL = NamedTarget(type="target", name="oncall")

Send = Callable[..., None]


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as mail:
        yield mail


@pytest.fixture
def settings(slack: Slack, receiver: WebhookReceiver, mail: MailServer) -> NotificationSettings:
    return NotificationSettings(
        slack_token=SLACK_TOKEN,
        slack_api_url=slack.api_url,
        smtp=Smtp(host="127.0.0.1", port=mail.port, mode="insecure", user=mail.USER, password=mail.PASSWORD),
        email_from="data@example.com",
        targets={"oncall": f"json://user:p4ssw0rd99@127.0.0.1:{receiver.port}/hooks/t0ps3cr3t"},
        webhook_networks=(ip_network("127.0.0.0/8"),),
    )


@pytest.fixture
def notice() -> Callable[[Target], Notification]:
    """Return a notice for a target."""
    message = Message(
        event="failure",
        dataset="sales.daily",
        title="sales.daily failed",
        lines=("Error: 테이블이 없습니다 <b>",),
        links=(Link(text="Run", url="https://basecamp.example.com/runs/x"),),
        data={"run": {"run_id": "x"}},
    )
    created_at = datetime(2024, 1, 15, 9, 31, tzinfo=UTC)
    return lambda target: Notification.of(
        message, target, identifier="0123456789abcdef", created_at=created_at
    )


@pytest.fixture
def send(settings: NotificationSettings, notice: Callable[[Target], Notification]) -> Send:
    """Send a message to a target, with some of the settings changed."""

    def send(target: Target, **changed: object) -> None:
        changed_settings = dataclasses.replace(settings, **changed)  # type: ignore[arg-type]
        ChannelSender(changed_settings).send(notice(target))

    return send


@pytest.mark.rule("25.8")
def test_slack_takes_a_message_of_the_bot_in_the_channel_that_is_named(send: Send, slack: Slack) -> None:
    send(SLACK)
    (message,) = slack.messages
    assert message.channel == "#data"
    assert message.text == (
        "*sales.daily failed*\nError: 테이블이 없습니다 &lt;b&gt;\n<https://basecamp.example.com/runs/x|Run>"
    )


def test_slack_takes_a_message_by_its_incoming_webhook(send: Send, slack: Slack) -> None:
    send(SLACK, slack_token=None, slack_webhook_url=slack.webhook_url)
    assert slack.count("webhook", "sales.daily failed") == 1


def test_slack_says_when_to_come_again(send: Send, slack: Slack) -> None:
    slack.rate_limited = 1
    with pytest.raises(SendFailed) as caught:
        send(SLACK)
    assert caught.value.retry_after == 1
    assert slack.refused == 1


def test_slack_is_asked_once_for_each_attempt_also_when_it_breaks(send: Send, slack: Slack) -> None:
    slack.broken = 3
    with pytest.raises(SendFailed, match="Slack answers with status 500"):
        send(SLACK)
    assert slack.broken == 2


@pytest.mark.parametrize("by_webhook", [False, True])
def test_slack_is_asked_once_for_each_attempt_also_when_the_connection_breaks(
    send: Send, by_webhook: bool
) -> None:
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def break_off() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection.recv(65536))
                    connection.close()

        breaking = threading.Thread(target=break_off)
        breaking.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        settings = {"slack_token": None, "slack_webhook_url": url} if by_webhook else {"slack_api_url": url}
        with pytest.raises(SendFailed, match="Slack does not answer"):
            send(SLACK, **settings)
        listener.shutdown(socket.SHUT_RDWR)
        breaking.join()
    assert len(connections) == 1


@pytest.mark.rule("25.8")
def test_a_mail_has_its_subject_its_text_and_one_recipient(send: Send, mail: MailServer) -> None:
    send(MAIL)
    ((recipient, message),) = mail.mails
    assert recipient == "kim@example.com"
    assert isinstance(message, EmailMessage)
    assert (message["Subject"], message["From"]) == ("sales.daily failed", "data@example.com")
    assert "Error: 테이블이 없습니다 <b>" in message.get_content()


def test_a_recipient_that_the_mail_server_refuses_is_told_in_its_words(send: Send, mail: MailServer) -> None:
    mail.refuses = {"kim@example.com"}
    with pytest.raises(SendFailed, match="there is nobody of that name"):
        send(MAIL)


@pytest.mark.rule("25.8", "25.9")
def test_a_webhook_gets_the_documented_body_and_a_key_to_know_it_again(
    send: Send, receiver: WebhookReceiver
) -> None:
    send(WebhookTarget(type="webhook", url=f"{receiver.url}/hook?team=data"))
    (asked,) = receiver.asked
    assert (asked.path, asked.headers["idempotency-key"]) == ("/hook?team=data", "0123456789abcdef")
    assert json.loads(asked.body) == {
        "id": "0123456789abcdef",
        "event": "failure",
        "dataset": "sales.daily",
        "title": "sales.daily failed",
        "text": "Error: 테이블이 없습니다 <b>\nRun: https://basecamp.example.com/runs/x",
        "links": [{"text": "Run", "url": "https://basecamp.example.com/runs/x"}],
        "created_at": "2024-01-15T09:31:00+00:00",
        "data": {"run": {"run_id": "x"}},
    }


@pytest.mark.rule("25.9")
@pytest.mark.parametrize(
    ("reply", "reason", "retry_after"),
    [
        (Answer(500), "the answer was 500", None),
        (Answer(429, headers={"Retry-After": "30"}), "the answer was 429", 30),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), "a redirect, which is not followed", None),
    ],
)
def test_a_webhook_that_does_not_take_it_says_why(
    send: Send, receiver: WebhookReceiver, reply: Answer, reason: str, retry_after: float | None
) -> None:
    receiver.reply = reply
    with pytest.raises(SendFailed, match=reason) as caught:
        send(WebhookTarget(type="webhook", url=receiver.url))
    assert caught.value.retry_after == retry_after
    assert len(receiver.asked) == 1


@pytest.mark.rule("26.4")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_webhook_does_not_reach_the_server_s_own_machine_by_any_name(
    send: Send, receiver: WebhookReceiver, host: str
) -> None:
    with pytest.raises(SendFailed, match="has no public address"):
        send(WebhookTarget(type="webhook", url=f"http://{host}:{receiver.port}/"), webhook_networks=())
    assert receiver.asked == []


def test_a_webhook_that_does_not_answer_is_given_a_bounded_time(
    settings: NotificationSettings, notice: Callable[[Target], Notification], receiver: WebhookReceiver
) -> None:
    receiver.hang()
    started = time.monotonic()
    target = WebhookTarget(type="webhook", url=receiver.url)
    with pytest.raises(SendFailed, match=r"no answer within 0\.5 s"):
        send_to_webhook(notice(target), target, settings.webhook_networks, seconds=0.5)
    assert time.monotonic() - started < 300


@pytest.mark.rule("25.9")
def test_a_webhook_that_answers_a_letter_at_a_time_is_given_no_longer(
    settings: NotificationSettings, notice: Callable[[Target], Notification]
) -> None:
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while not ending.wait(0.05):
                    connection.sendall(b"H")

        dripping = threading.Thread(target=drip)
        dripping.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.monotonic()
        target = WebhookTarget(type="webhook", url=url)
        with pytest.raises(SendFailed):
            send_to_webhook(notice(target), target, settings.webhook_networks, seconds=0.5)
        assert time.monotonic() - started < 300
        ending.set()
        dripping.join()


@pytest.mark.rule("25.8")
def test_a_named_target_is_any_service_of_apprise(send: Send, receiver: WebhookReceiver) -> None:
    send(ONCALL)
    (asked,) = receiver.asked
    assert asked.path == "/hooks/t0ps3cr3t"
    body = json.loads(asked.body)
    assert (body["title"], body["type"]) == ("sales.daily failed", "failure")
    assert "테이블이 없습니다" in body["message"]


@pytest.mark.parametrize(
    ("target", "lacking", "named"),
    [
        (SLACK, {"slack_token": None}, "BASECAMP_SLACK_TOKEN or BASECAMP_SLACK_WEBHOOK_URL"),
        (MAIL, {"smtp": None}, "BASECAMP_SMTP_URL"),
        (MAIL, {"email_from": None}, "BASECAMP_EMAIL_FROM"),
        (ONCALL, {"targets": {}}, "BASECAMP_TARGETS"),
    ],
)
def test_a_channel_without_its_settings_names_what_to_set(
    send: Send, target: Target, lacking: dict[str, object], named: str
) -> None:
    with pytest.raises(SendFailed, match=named):
        send(target, **lacking)


@pytest.mark.rule("26.5")
def test_no_secret_is_in_a_log_or_a_reason_whatever_goes_wrong(
    send: Send,
    slack: Slack,
    mail: MailServer,
    receiver: WebhookReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "urllib3")  # as the server does
    caplog.set_level(logging.DEBUG)
    url = f"{receiver.url}/hooks/w3bh00ks3cr3t"
    by_webhook: dict[str, object] = {"slack_token": None, "slack_webhook_url": slack.webhook_url}
    everything: list[tuple[Target, dict[str, object]]] = [
        (SLACK, {}),
        (SLACK, by_webhook),
        (MAIL, {}),
        (ONCALL, {}),
        (WebhookTarget(type="webhook", url=url), {}),
    ]
    reasons = []
    for target, changed in everything:
        send(target, **changed)
    slack.broken, receiver.reply, mail.refuses = 2, Answer(500), {"kim@example.com"}
    for target, changed in everything:
        with pytest.raises(SendFailed) as caught:
            send(target, **changed)
        reasons.append(caught.value.reason)
    unreachable: list[tuple[Target, dict[str, object]]] = [
        (SLACK, {"slack_api_url": "http://127.0.0.1:1/api/"}),
        (SLACK, by_webhook | {"slack_webhook_url": f"http://127.0.0.1:1/services/{SLACK_SECRET}"}),
        (MAIL, {"smtp": Smtp(host="127.0.0.1", port=1, mode="insecure", user="u", password=mail.PASSWORD)}),
        (ONCALL, {"targets": {"oncall": "json://user:p4ssw0rd99@127.0.0.1:1/hooks/t0ps3cr3t"}}),
        (WebhookTarget(type="webhook", url="http://127.0.0.1:1/w3bh00ks3cr3t"), {}),
    ]
    for target, changed in unreachable:
        with pytest.raises(SendFailed) as caught:
            send(target, **changed)
        reasons.append(caught.value.reason)
    secrets = (SLACK_TOKEN, SLACK_SECRET, mail.PASSWORD, "p4ssw0rd99", "t0ps3cr3t", "w3bh00ks3cr3t")
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in "\n".join(reasons)
