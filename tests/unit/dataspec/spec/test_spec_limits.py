"""What a spec's words may be: short enough for every table and page, and without control characters."""

from __future__ import annotations

import json

import pytest

from dataspec.errors import InvalidSpec
from dataspec.spec.parse import parse_spec
from unit.dataspec.specs import spec_text


def problem(**keys: object) -> str:
    # JSON is YAML, and writes control characters as escapes.
    lines = [f"{key}: {json.dumps(value)}" for key, value in keys.items()]
    text = "\n".join(line for line in spec_text("a").splitlines() if line.split(":")[0] not in keys)
    with pytest.raises(InvalidSpec) as caught:
        parse_spec("\n".join([text, *lines]).encode(), file="a.yaml")
    return str(caught.value.detail)


@pytest.mark.rule("2.3")
@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("owner", f"{'x' * 89}@example.com", "'owner': it has 101 letters; 100 at most."),
        ("description", "x" * 5_001, "'description': it has 5,001 letters; 5,000 at most."),
        ("tags", ["fine", "x" * 101], "'tags[1]': it has 101 letters; 100 at most."),
        ("tags", [f"tag {number}" for number in range(101)], "'tags': it has 101 entries; 100 at most."),
        ("domains", ["x" * 101], "'domains[0]': it has 101 letters; 100 at most."),
        ("tags", ["two\nlines"], "'tags[0]': it must be one line without tabs."),
    ],
)
def test_text_that_is_too_long_is_refused_without_quoting_it(key: str, value: object, told: str) -> None:
    found = problem(**{key: value})
    assert told in found
    assert len(found) < 200


@pytest.mark.rule("2.3")
@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x7f"])
@pytest.mark.parametrize("key", ["owner", "description", "tags"])
def test_control_characters_are_refused_and_named(key: str, letter: str) -> None:
    text = f"a{letter}b@example.com"
    assert f"the control character U+{ord(letter):04X} (letter 2)" in problem(
        **{key: [text] if key == "tags" else text}
    )


@pytest.mark.rule("2.3")
def test_text_of_maximum_length_and_of_several_lines_is_accepted() -> None:
    keys = {
        "owner": f"{'x' * 88}@example.com",
        "description": "한글 🎉\tone\n" + "x" * 4_990,
        "tags": [f"{number:0100d}" for number in range(100)],
    }
    text = "\n".join(line for line in spec_text("a").splitlines() if line.split(":")[0] not in keys)
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    spec = parse_spec("\n".join([text, *lines]).encode(), file="a.yaml")
    assert (spec.owner, spec.description, spec.tags) == tuple(keys.values())


@pytest.mark.rule("2.5")
@pytest.mark.parametrize("key", ["pre_statements", "post_statements"])
@pytest.mark.parametrize("texts", [{}, {"sql": "select 1", "file": "a.sql"}], ids=["none", "both"])
def test_a_statement_has_exactly_one_text(key: str, texts: dict[str, str]) -> None:
    assert f"'{key}[0]': give exactly one of 'sql' and 'file'." in problem(**{key: [{"name": "x"} | texts]})


@pytest.mark.rule("2.7")
def test_duplicate_parameter_is_refused() -> None:
    twice = [{"name": "day", "type": kind, "required": False} for kind in ("date", "string")]
    assert "the parameter 'day' is defined twice." in problem(parameters=twice)


@pytest.mark.rule("2.7")
@pytest.mark.parametrize(
    "name", ["1st", "_x", "a-b", "a.b", "a b", "data_interval_start", "data_interval_end"]
)
def test_a_parameter_has_a_name_that_templates_can_use(name: str) -> None:
    assert "'parameters[0].name'" in problem(parameters=[{"name": name, "type": "string", "required": False}])


@pytest.mark.rule("2.9")
def test_a_dataset_that_depends_on_itself_is_refused() -> None:
    assert "a dataset can't depend on itself." in problem(depends_on=["b", "a"])


@pytest.mark.rule("2.11")
@pytest.mark.parametrize("seconds", [0, 7 * 24 * 3600 + 1])
def test_a_timeout_is_between_a_second_and_a_week(seconds: int) -> None:
    assert "'execution.timeout_seconds'" in problem(execution={"timeout_seconds": seconds})


@pytest.mark.rule("2.13")
@pytest.mark.parametrize(
    ("key", "value"),
    [("max_attempts", -1), ("max_attempts", 101), ("delay_seconds", -1), ("delay_seconds", 86_401)],
)
def test_retries_have_limits(key: str, value: int) -> None:
    found = problem(schedule={"cron": "0 9 * * *", "retry": {key: value}})
    assert f"'schedule.retry.{key}'" in found


@pytest.mark.rule("2.15")
@pytest.mark.parametrize(
    "url",
    [
        "https://dana:secret@hooks.example.com/x",
        "https://dana@hooks.example.com",
        "ftp://example.com",
        "https://",
    ],
)
def test_webhook_url_has_no_credentials(url: str) -> None:
    targets = {"on_failure": [{"type": "webhook", "url": url}]}
    found = problem(schedule={"cron": "0 9 * * *", "notifications": targets})
    assert "'schedule.notifications.on_failure[0]" in found


@pytest.mark.rule("2.7", "2.11", "2.13", "2.15")
def test_maximum_and_minimum_values_are_accepted() -> None:
    for timeout, retries, delay in ((1, 0, 0), (7 * 24 * 3600, 100, 86_400)):
        keys = {
            "parameters": [{"name": "a_1", "type": "string", "required": False}],
            "execution": {"timeout_seconds": timeout},
            "schedule": {
                "cron": "0 9 * * *",
                "retry": {"max_attempts": retries, "delay_seconds": delay},
                "notifications": {"on_failure": [{"type": "webhook", "url": "https://hooks.example.com/x"}]},
            },
        }
        lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())
        spec = parse_spec((spec_text("a") + lines).encode(), file="a.yaml")
        assert spec.execution.timeout_seconds == timeout
        assert (spec.retry.max_attempts, spec.retry.delay_seconds) == (retries, delay)
