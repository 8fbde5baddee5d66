from __future__ import annotations

import difflib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.errors import InvalidSpec, InvalidUsage
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_spec
from dataspec.spec.yaml_editor import ScheduleChanges, edit_schedule
from unit.dataspec.specs import SPEC

HEAD = "name: a\ntype: Dataset\nowner: a@example.com\n"
QUERY = "query_statement: select 1\n"


def changed_lines(before: str, after: str) -> list[str]:
    """Return the lines that went and came."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def schedule_of(text: str) -> Any:
    return parse_spec(text.encode(), file="x.yaml").schedule


EVERYTHING = ScheduleChanges(
    cron="*/5 1,2 * * 1-5",
    timezone="Europe/Berlin",
    enabled=False,
    retry_max_attempts=7,
    retry_delay_seconds=60,
)


def test_only_the_lines_of_the_values_change() -> None:
    assert sorted(changed_lines(SPEC, edit_schedule(SPEC, EVERYTHING))) == sorted(
        [
            "-   enabled: true\n",
            '-   cron: "0 9 * * *"\n',
            '-   timezone: "Asia/Seoul"\n',
            "+   enabled: false\n",
            '+   cron: "*/5 1,2 * * 1-5"\n',
            '+   timezone: "Europe/Berlin"\n',
            "-     max_attempts: 3\n",
            "-     delay_seconds: 300\n",
            "+     max_attempts: 7\n",
            "+     delay_seconds: 60\n",
        ]
    )


@pytest.mark.parametrize("schedule", ["", 'schedule: {cron: "0 9 * * *"}\n'])
def test_retries_stay_at_the_top_level_where_the_spec_has_them(schedule: str) -> None:
    text = f"{HEAD}{QUERY}{schedule}retry: {{max_attempts: 1}} # once\n"
    edited = edit_schedule(text, ScheduleChanges(retry_max_attempts=3, retry_delay_seconds=9))
    assert edited == text.replace("{max_attempts: 1}", "{max_attempts: 3, delay_seconds: 9}")


def test_retries_of_a_dataset_without_a_schedule_are_added_at_the_top_level() -> None:
    text = f"{HEAD}{QUERY}"
    edited = edit_schedule(text, ScheduleChanges(retry_max_attempts=3))
    assert parse_spec(edited.encode(), file="x.yaml").retry.max_attempts == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('cron: "0 9 * * *" # nine, 아홉 시', 'cron: "0 8 * * *" # nine, 아홉 시'),
        ("cron: '0 9 * * *'", "cron: '0 8 * * *'"),
        ("cron: 0 9 * * *   # plain", "cron: 0 8 * * *   # plain"),
        ("cron:     &nine   '0 9 * * *'", "cron:     &nine   '0 8 * * *'"),
        ('"cron" : "0 9 * * *"', '"cron" : "0 8 * * *"'),
        ('cron: "0 9\n    * * *"', 'cron: "0 8 * * *"'),
        ("cron: >-\n    0 9 * * *\n  # of summer", 'cron: "0 8 * * *"\n  # of summer'),
        ("cron: |-\n    0 9 * * *\n\n  timezone: UTC", 'cron: "0 8 * * *"\n\n  timezone: UTC'),
        ("cron:\n    0 9\n    * * *", "cron:\n    0 8 * * *"),
    ],
)
def test_value_keeps_its_quotes_and_the_text_around_it(before: str, after: str) -> None:
    text = HEAD + "schedule:\n  " + before + "\n\n\n" + QUERY
    assert edit_schedule(text, ScheduleChanges(cron="0 8 * * *")) == text.replace(before, after)


def test_a_value_that_needs_quotes_gets_them() -> None:
    text = HEAD + QUERY + "schedule:\n  cron: 0 9 * * *\n"
    edited = edit_schedule(text, ScheduleChanges(cron="*/5 * * * *"))
    assert edited.endswith('  cron: "*/5 * * * *"\n')
    flow = HEAD + QUERY + "schedule: {cron: 0 9 * * *}\n"
    assert edit_schedule(flow, ScheduleChanges(cron="0 9,10 * * *")).endswith('{cron: "0 9,10 * * *"}\n')


def test_missing_key_is_added_at_its_usual_place() -> None:
    text = HEAD + "schedule:\n    # daily\n    cron: 0 9 * * * # nine\n\n# the query\n" + QUERY
    assert edit_schedule(text, EVERYTHING) == (
        HEAD
        + "schedule:\n"
        + "    # daily\n"
        + '    cron: "*/5 1,2 * * 1-5" # nine\n'
        + "    timezone: Europe/Berlin\n"
        + "    enabled: false\n"
        + "    retry:\n"
        + "        max_attempts: 7\n"
        + "        delay_seconds: 60\n"
        + "\n# the query\n"
        + QUERY
    )


@pytest.mark.parametrize(
    "flow",
    [
        '{cron: "0 9 * * *"}',
        '{ "cron" : "0 9 * * *" , "retry" : { } }',
        "{\n  cron: '0 9 * * *', # nine\n  retry: {max_attempts: 1,},\n}",
    ],
)
def test_flow_mapping_is_kept(flow: str) -> None:
    text = HEAD + f"schedule: {flow} # end\n" + QUERY
    edited = edit_schedule(text, EVERYTHING)
    schedule = schedule_of(edited)
    assert (schedule.cron, schedule.retry.delay_seconds) == ("*/5 1,2 * * 1-5", 60)
    assert edited.endswith("} # end\n" + QUERY)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (HEAD + QUERY, 'schedule:\n  cron: "0 8 * * *"\n'),
        (HEAD + QUERY.rstrip(), 'schedule:\n  cron: "0 8 * * *"'),
        (HEAD + QUERY + "# the end\n", 'select 1\nschedule:\n  cron: "0 8 * * *"\n# the end\n'),
        (HEAD + "schedule:\n" + QUERY, 'schedule: {cron: "0 8 * * *"}\n' + QUERY),
        (HEAD + "schedule: ~ # none yet\n" + QUERY, 'schedule: {cron: "0 8 * * *"} # none yet\n' + QUERY),
        (HEAD + "query_statement: |\n  select 1\n\n\n", '\n\n\nschedule:\n  cron: "0 8 * * *"\n'),
        (HEAD + "query_statement: |+\n  select 1\n\n\n", '\n\n\nschedule:\n  cron: "0 8 * * *"\n'),
        (HEAD + "query_statement: |\n  select 1", "query_statement: |\n  select 1"),
        ("---\n" + HEAD + QUERY + "...\n", 'select 1\nschedule:\n  cron: "0 8 * * *"\n...\n'),
        (
            HEAD + QUERY + "tags:\n- a\n- b # two\n\n# c\n",
            '- b # two\nschedule:\n  cron: "0 8 * * *"\n\n# c\n',
        ),
        (
            '{"name": "a", "type": "Dataset", "owner": "a@b", "query_statement": "s"}',
            '"s", schedule: {cron: "0 8 * * *"}}',
        ),
    ],
)
def test_schedule_is_added_to_a_spec_without_one(text: str, end: str) -> None:
    before = parse_spec(text.encode(), file="x.yaml")
    edited = edit_schedule(text, ScheduleChanges(cron="0 8 * * *"))
    assert edited.endswith(end)
    assert schedule_of(edited).cron == "0 8 * * *"
    assert without_schedule(parse_spec(edited.encode(), file="x.yaml")) == without_schedule(before)


def without_schedule(spec: DatasetSpec) -> dict[str, Any]:
    return spec.model_dump(exclude={"schedule"})


def test_line_endings_and_the_byte_order_mark_are_kept() -> None:
    text = "\ufeff" + SPEC.replace("    retry:\n", "").replace("\n", "\r\n")
    text = text.replace("  retry:\r\n    max_attempts: 3\r\n    delay_seconds: 300\r\n", "")
    edited = edit_schedule(text, EVERYTHING)
    assert edited.startswith("\ufeff#")
    assert "\n" not in edited.replace("\r\n", "")
    assert "retry:\r\n    max_attempts: 7\r\n    delay_seconds: 60\r\n" in edited


def test_equal_value_is_not_edited() -> None:
    text = HEAD + QUERY + "schedule: {cron: '0  9 * * *', enabled: True}\n"
    assert edit_schedule(text, ScheduleChanges(cron="0  9 * * *", enabled=True)) == text
    assert edit_schedule(text, ScheduleChanges()) == text


def test_new_schedule_needs_a_cron() -> None:
    with pytest.raises(InvalidUsage, match="no schedule"):
        edit_schedule(HEAD + QUERY, ScheduleChanges(enabled=False))


@pytest.mark.parametrize(
    "changes",
    [
        ScheduleChanges(cron="0 25 * * *"),
        ScheduleChanges(cron="x\n  enabled: false"),
        ScheduleChanges(timezone="Asia/Seol"),
        ScheduleChanges(timezone='UTC" # "'),
        ScheduleChanges(retry_max_attempts=-1),
        ScheduleChanges(retry_delay_seconds=10**9),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(changes: ScheduleChanges) -> None:
    with pytest.raises(InvalidSpec) as caught:
        edit_schedule(SPEC, changes, file="manual/a.yaml")
    assert caught.value.problems[0].file == "manual/a.yaml"
    assert (caught.value.problems[0].line or 0) > 12


COMMENTS = st.sampled_from(["", " # 매일", "  #x", " # a: b", " # 🙂 'q'"])
BLANKS = st.sampled_from(["", "\n", "\n# 설명 🙂\n", "\n\n  # deep\n"])
VALUES = st.sampled_from(['"{}"', "'{}'", "{}"])
LONG = "  " + "select 한글 " * 60
OTHERS = {
    "name": ["name: a", '"name": a', "name:    a"],
    "type": ["type: Dataset"],
    "owner": ["owner: a@example.com", "owner:\n  a@example.com"],
    "description": ["description: >\n  long\n    text 🙂\n\n  end\n", "description: 'a\n\n  b'", ""],
    "tags": ["tags: [a, 'b c', \"d\"]", "tags:\n- a\n-  b", "tags:\n    - a # one\n    - b", ""],
    "domains": ["domains: &d [x]", ""],
    "query_statement": [
        "query_statement: |\n" + LONG,
        "query_statement: >-\n" + LONG,
        "query_statement: select 1",
    ],
    "execution": ["execution: {timeout_seconds: 5}", "execution:\n   timeout_seconds: 5", ""],
}


@st.composite
def schedules(draw: st.DrawFn) -> str:
    indent = draw(st.sampled_from(["  ", "    ", " "]))
    parts = {"cron": draw(VALUES).format("0 9 * * *")}
    if draw(st.booleans()):
        parts["timezone"] = draw(VALUES).format("Asia/Seoul")
    if draw(st.booleans()):
        parts["enabled"] = "true"
    if draw(st.booleans()):
        parts["retry"] = draw(
            st.sampled_from(["{max_attempts: 2}", "{}", f"\n{indent}{indent}delay_seconds: 9"])
        )
    if draw(st.booleans()):
        parts["notifications"] = draw(
            st.sampled_from(["{on_success: [{type: target, name: n}]}", f"\n{indent * 2}on_failure: []"])
        )
    lines = [
        f"{indent}{key}: {parts[key]}{draw(COMMENTS)}{draw(BLANKS)}"
        for key in draw(st.permutations(list(parts)))
    ]
    return f"schedule:{draw(COMMENTS)}\n" + "\n".join(lines)


@st.composite
def specs(draw: st.DrawFn) -> str:
    sections = [text for choices in OTHERS.values() if (text := draw(st.sampled_from(choices)))]
    if draw(st.booleans()):
        sections.append(draw(schedules()))
    body = "\n".join(section + draw(BLANKS) for section in draw(st.permutations(sections)))
    body = (
        draw(st.sampled_from(["", "# head\n", "---\n"]))
        + body
        + draw(st.sampled_from(["", "\n", "\n\n# end"]))
    )
    return body.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


CHANGES = st.builds(
    ScheduleChanges,
    cron=st.sampled_from(["0 8 * * *", "*/5 * * * *", "0 1,2 * * *", "0 0 1 1 *"]),
    timezone=st.sampled_from([None, "UTC", "Europe/Berlin", "Asia/Seoul", "Etc/GMT+3"]),
    enabled=st.sampled_from([None, True, False]),
    retry_max_attempts=st.sampled_from([None, 0, 2, 5]),
    catch_up=st.sampled_from([None, True, False]),
    retry_delay_seconds=st.sampled_from([None, 0, 9, 86400]),
)


@pytest.mark.rule("16.5")
@given(text=specs(), changes=CHANGES)
def test_values_are_set_and_every_other_line_is_kept_in_any_file(text: str, changes: ScheduleChanges) -> None:
    before = parse_spec(text.encode(), file="x.yaml")
    edited = edit_schedule(text, changes)
    after = parse_spec(edited.encode(), file="x.yaml")
    assert without_schedule(after) == without_schedule(before)
    assert after.schedule is not None
    old = before.schedule.model_dump() if before.schedule else {}
    new = after.schedule.model_dump()
    top: dict[str, object] = {name: getattr(changes, name) for name in ("cron", "timezone", "enabled")}
    for key, value in top.items():
        assert new[key] == (value if value is not None else old.get(key, new[key]))
    kept = old.get("retry", {"max_attempts": 1, "delay_seconds": 300})
    for key in kept:
        value = getattr(changes, f"retry_{key}")
        assert new["retry"][key] == (value if value is not None else kept[key])
    assert new["notifications"] == old.get("notifications", new["notifications"])
    gone = [line for line in changed_lines(text, edited) if line.startswith("- ")]
    words = ("cron", "timezone", "enabled", "retry", "max_attempts", "delay_seconds")
    # A line without an end gets one where another comes after it.
    assert all(any(word in line for word in words) or not line.endswith("\n") for line in gone)
    for comment in ("# 매일", "# 설명 🙂", "# end", "# head", "# deep", "# 🙂 'q'"):
        assert edited.count(comment) == text.count(comment)
    assert ("\r\n" in edited) == ("\r\n" in text)


def test_a_value_with_a_control_character_is_named() -> None:
    with pytest.raises(InvalidSpec) as caught:
        edit_schedule(SPEC, ScheduleChanges(cron="0 9 * * *\x81"), file="a.yaml")
    assert str(caught.value.problems[0]) == (
        r"a.yaml: 'schedule.cron' can't have a control character: '0 9 * * *\x81'."
    )
