"""What messages say."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from basecamp.notifications import messages
from basecamp.notifications.channels.slack import slack_text
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import Message, RunEnd, SourceChange
from basecamp.notifications.settings import NotificationSettings
from basecamp.notifications.wording import KOREAN
from dataspec.errors import InvalidSettings
from dataspec.models import RunStatus, SourceType, WorkflowRun

AGAIN = "dli workflow retry sales.daily_20240115_093045"
MESSAGES = Messages("https://basecamp.example.com")


def run(status: RunStatus = RunStatus.FAILED, **more: object) -> RunEnd:
    told: dict[str, object] = {
        "run_id": "sales.daily_20240115_093045",
        "dataset_name": "sales.daily",
        "source_type": SourceType.MANUAL,
        "spec_hash": "0123456789abcdef",
        "status": status,
        "run_type": "adhoc",
        "parameters": {"execution_date": "2024-01-14", "region": "south korea", "limit": 5},
        "finished_at": datetime(2024, 1, 15, 9, 31, tzinfo=UTC),
        "attempts": 2,
        "max_attempts": 2,
        "error": "CatalogException: Table clicks does not exist!",
        "url": "https://airflow.example.com/dags/sales.daily/runs/x",
    }
    return RunEnd(run=WorkflowRun(**told | more))  # type: ignore[arg-type]


@pytest.mark.rule("25.12")
def test_a_change_of_source_says_from_what_to_what_which_file_and_commit_and_the_next_run(
    change: Callable[..., SourceChange],
) -> None:
    told = change(commit="4f2a91c", repository="https://git.example.com/data/specs")
    message = MESSAGES.of_changes([told])
    assert message.title == "sales.daily: manual → code"
    assert message.lines == (
        "Code has taken over; the manual file is kept.",
        "File: code/sales.daily.yaml (spec 0123456789abcdef)",
        "Before: manual/sales.daily.yaml",
        "Commit: 4f2a91c in https://git.example.com/data/specs",
        "Next run: 2024-01-16 09:00 Asia/Seoul",
    )
    assert [link.url for link in message.links] == ["https://basecamp.example.com/workflows/sales.daily"]


@pytest.mark.rule("25.12")
def test_a_fallback_says_that_the_manual_spec_is_effective_again(
    change: Callable[..., SourceChange],
) -> None:
    back = change(before=SourceType.CODE, after=SourceType.MANUAL, next_run=None)
    message = MESSAGES.of_changes([back])
    assert message.lines[0] == "Code no longer has this dataset; the manual spec is effective again."
    assert message.lines[-1] == "Next run: -"


@pytest.mark.rule("25.12")
def test_a_failure_says_what_ran_why_it_failed_and_how_to_run_it_again() -> None:
    message = MESSAGES.of_end(run())
    assert message.title == "sales.daily failed"
    assert message.lines == (
        "Run: sales.daily_20240115_093045 (adhoc)",
        "Source: manual, spec 0123456789abcdef",
        "Parameters: execution_date=2024-01-14 region=south korea limit=5",
        "Attempts: 2 of 2",
        "Ended: 2024-01-15T09:31:00+00:00",
        "Error: CatalogException: Table clicks does not exist!",
        "Log: dli workflow logs sales.daily_20240115_093045",
        f"Run it again: {AGAIN}",
    )
    assert [link.url for link in message.links] == [
        "https://basecamp.example.com/runs/sales.daily_20240115_093045",
        "https://airflow.example.com/dags/sales.daily/runs/x",
    ]


@pytest.mark.rule("25.6")
def test_a_stopped_run_is_a_failure_that_says_who_stopped_it() -> None:
    end = run(RunStatus.KILLED, error=None, note="Stopped by kim at 2024-01-15T09:30:57+00:00 in attempt 1")
    message = MESSAGES.of_end(end)
    assert (message.event, message.title) == ("failure", "sales.daily was stopped")
    assert "Note: Stopped by kim at 2024-01-15T09:30:57+00:00 in attempt 1" in message.lines


def test_a_success_asks_for_nothing() -> None:
    message = MESSAGES.of_end(run(RunStatus.COMPLETED, error=None))
    assert (message.event, message.title) == ("success", "sales.daily completed")
    assert not any(line.startswith(("Error", "Run it again", "Log")) for line in message.lines)


@pytest.mark.rule("25.12")
def test_without_a_public_address_there_is_no_link_to_basecamp() -> None:
    links = Messages(None).of_end(run()).links
    assert [link.text for link in links] == ["In Airflow"]


@pytest.mark.rule("25.13")
def test_a_long_or_many_lined_error_stays_one_short_line() -> None:
    message = MESSAGES.of_end(run(error="a\nb " + "x" * 5000))
    (line,) = (line for line in message.lines if line.startswith("Error"))
    assert line.startswith("Error: a b xxx")
    assert len(line) < 320


@pytest.mark.rule("25.13")
def test_no_value_calls_a_slack_channel_or_makes_a_link() -> None:
    message = MESSAGES.of_end(run(error="<!channel> <http://evil|click> &"))
    assert "&lt;!channel&gt; &lt;http://evil|click&gt; &amp;" in slack_text(message)


@pytest.mark.rule("25.13")
def test_a_slack_message_is_never_longer_than_slack_shows_in_one() -> None:
    message = Message(event="test", dataset=None, title="t", lines=tuple("&" * 100 for _ in range(100)))
    assert len(slack_text(message)) < 4000


PLACES = re.compile(r"[{][a-z_]+[}]")


@pytest.mark.rule("38.15")
def test_every_text_of_a_message_is_there_in_korean_with_the_same_places() -> None:
    tree = ast.parse(inspect.getsource(messages))
    documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    said = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node not in documented and _is_said(node.value)
    }
    assert len(said) > 40
    assert said == KOREAN.keys()
    for english, korean in KOREAN.items():
        assert sorted(PLACES.findall(english)) == sorted(PLACES.findall(korean)), english


def _is_said(value: object) -> bool:
    """Return whether a text of the code is one for people: it has words, and is no command, event or punctuation."""
    if not isinstance(value, str) or value.startswith(("dli ", "_", ",", " ", "%")):
        return False
    return " " in value.strip() or value[:1].isupper() or value.startswith("{")


@pytest.mark.rule("38.15")
def test_messages_are_in_the_language_of_the_servers_setting() -> None:
    settings = NotificationSettings.from_environment({"BASECAMP_LANGUAGE": "ko"})
    message = Messages(None, settings.language).of_test("매출.daily", "late")
    assert (message.title, message.lines) == (
        "매출.daily 테스트 메시지",
        ("테스트입니다. 지연된 파티션과 오래 걸리는 실행 메시지가 이 채널로 전송됩니다.",),
    )
    with pytest.raises(InvalidSettings, match=r"BASECAMP_LANGUAGE is 'kr'\. It must be one of: en, ko"):
        NotificationSettings.from_environment({"BASECAMP_LANGUAGE": "kr"})


@pytest.mark.rule("38.13")
@pytest.mark.parametrize("value", ["#ops", "[1]", '[{"type": "slack"}]', '{"type": "slack"}'])
def test_alerts_that_are_no_list_of_targets_stop_the_server_with_an_example(value: str) -> None:
    with pytest.raises(InvalidSettings, match="BASECAMP_ALERTS must be a JSON list of targets") as found:
        NotificationSettings.from_environment({"BASECAMP_ALERTS": value})
    assert "Example: BASECAMP_ALERTS=" in found.value.title
