from __future__ import annotations

import pytest

from dataspec.errors import InvalidSpec
from dataspec.spec.detection import is_dataset_document
from dataspec.spec.model import DatasetSpec, SlackTarget
from dataspec.spec.parse import parse_spec
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.validation import check_spec
from unit.dataspec.specs import SPEC, SQL, spec_text

FILE = "datasets/clicks.yaml"


def problems(text: str | bytes, files: dict[str, str] | None = None) -> list[str]:
    body = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidSpec) as caught:
        check_spec(body, {"daily_clicks.sql": SQL} if files is None else files, file=FILE)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.rule("1.1")
def test_example_of_the_specification_is_parsed_completely() -> None:
    spec = check_spec(SPEC.encode(), {"daily_clicks.sql": SQL}, file=FILE)
    assert spec.name == "iceberg.analytics.daily_clicks"
    assert spec.team == "@data-engineering"
    assert spec.files == ("daily_clicks.sql",)
    assert spec.schedule is not None
    assert (spec.schedule.cron, spec.schedule.timezone, spec.schedule.enabled) == (
        "0 9 * * *",
        "Asia/Seoul",
        True,
    )
    assert (spec.retry.max_attempts, spec.retry.delay_seconds) == (3, 300)
    assert spec.schedule.notifications.on_source_change == [SlackTarget(type="slack", channel="#data-alerts")]


@pytest.mark.rule("2.7", "2.11", "2.12", "2.13")
def test_missing_keys_have_the_specified_defaults() -> None:
    spec = parse_spec(spec_text("a", extra="schedule: {cron: '0 9 * * *'}").encode(), file=FILE)
    assert spec.schedule is not None
    assert (spec.schedule.enabled, spec.schedule.timezone) == (True, "UTC")
    assert (spec.retry.max_attempts, spec.retry.delay_seconds) == (1, 300)
    assert (spec.execution.connection, spec.execution.timeout_seconds) == ("dli_default", 3600)


@pytest.mark.rule("2.12")
def test_spec_without_a_schedule_is_valid() -> None:
    assert parse_spec(spec_text("a").encode(), file=FILE).schedule is None


@pytest.mark.rule("2.2", "2.6", "2.7", "2.9", "2.17", "2.18", "8.8")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("cron:", "corn:", f"{FILE}:15:3: unknown key 'corn'. Did you mean 'cron'?"),
        ('cron: "0 9', 'corn: "0 9', f"{FILE}:13:1: the key 'cron' is missing in 'schedule'."),
        (
            "0 9 * * *",
            "0 25 * * *",
            f"{FILE}:15:9: 'schedule.cron': '0 25 * * *' is not a cron expression: bad hour.",
        ),
        ("0 9 * * *", "0 9 * *", "has 4 fields; a cron expression has five"),
        (
            "Asia/Seoul",
            "Asia/Seol",
            (
                f"{FILE}:16:13: 'schedule.timezone': 'Asia/Seol' is not an IANA time zone. "
                "Did you mean 'Asia/Seoul'?"
            ),
        ),
        (
            "enabled: true",
            "enabled: yes",
            f"{FILE}:14:12: 'schedule.enabled': expected true or false, got 'yes'. Write true.",
        ),
        (
            "max_attempts: 3",
            "max_attempts: '3'",
            f"{FILE}:18:19: 'schedule.retry.max_attempts': expected a whole number",
        ),
        ("max_attempts: 3", "max_attempts: -1", "greater than or equal to 0, got -1."),
        ("type: string", "type: strng", "Did you mean 'string'?"),
        (
            'type: slack\n        channel: "#data-alerts"\n    on_source',
            "type: slak\n        channel: x\n    on_source",
            "the type 'slak' is not one of",
        ),
        (
            "type: Dataset",
            "type: Datset",
            "'type': 'Datset' is not one of 'Dataset'. Did you mean 'Dataset'?",
        ),
        ("engineer@example.com", "engineer", "'engineer' is not an e-mail address."),
        ("daily_clicks\ntype", "daily/clicks\ntype", f"{FILE}:2:7: 'name': '/' is not allowed."),
        ("daily_clicks\ntype", "..daily_clicks\ntype", "a dot must be between two other characters."),
        (
            "query_file: daily",
            "query_file: ../daily",
            "must be relative to the YAML and stay inside its folder",
        ),
        (
            "query_file: daily",
            "query_file: /daily",
            "must be relative to the YAML and stay inside its folder",
        ),
        (
            "daily_clicks.sql",
            "dayly_clicks.sql",
            (
                f"{FILE}:6:13: the SQL file 'dayly_clicks.sql' does not exist beside "
                "the YAML. Did you mean 'daily_clicks.sql'?"
            ),
        ),
        ("owner:", "name:", f"{FILE}:4:1: the key 'name' is defined twice; first in line 2."),
        (
            "name: execution_date",
            "name: limit",
            "a scheduled run can't give 'limit': it is required and has no default.",
        ),
        (
            "type: string",
            "type: integer",
            "'execution_date' names a partition; its type is 'date', 'datetime' or 'string', not 'integer'.",
        ),
        ("name: execution_date", "name: data_interval_start", "every run has this value already"),
    ],
)
def test_problem_has_file_line_column_and_hint(old: str, new: str, problem: str) -> None:
    assert old in SPEC
    assert any(problem in found for found in problems(SPEC.replace(old, new, 1)))


@pytest.mark.rule("2.22")
def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = SPEC.replace("cron:", "corn:").replace("Asia/Seoul", "Mars").replace("owner:", "ower:")
    assert [problem.split(":")[1] for problem in problems(text)] == ["2", "4", "13", "15", "16"]


@pytest.mark.rule("2.19", "4.6")
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"a: \xff", "1:4: the byte 0xff is not UTF-8; save the file as UTF-8."),
        (
            b"a:\n\t- b",
            "2:1: not valid YAML: a tab can't stand here. Use spaces, not tabs.",
        ),
        (b"a: 'x", "not valid YAML"),
        (b"a: 1\nb: \x00", "2:4: the character U+0000 is not allowed in YAML."),
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"- a", "a Dataset Spec is a mapping of keys to values."),
        (b"a: 1\n---\nb: 2", "2:1: a file must contain one document."),
        (b"a: !!python/object:os.system x", "tags are not allowed"),
        (b"a: &a [x]\nb: [*a, *a]", "2:5: aliases are not allowed (*a); write the value out."),
        (b"[" * 1000, "nested deeper than 20 levels."),
        (b"a: [" + b"1," * 30_000 + b"]", "more than 20,000 values."),
        (b"x" * 10_000_000, "the file has 9,765 KiB; a spec may have 256 KiB at most."),
        (b"{[a]: b}", "a key must be plain text."),
    ],
)
def test_hostile_or_invalid_yaml_is_refused_with_one_problem(body: bytes, problem: str) -> None:
    found = problems(body)
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.rule("2.19")
def test_alias_bomb_is_refused_before_it_is_expanded() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert "aliases are not allowed" in problems("\n".join(["l0: &l0 [x]", *levels]))[0]


@pytest.mark.rule("2.19")
def test_dates_and_words_like_no_stay_text() -> None:
    text = spec_text(
        "a",
        extra="parameters: [{name: d, type: date, default: 2024-01-15}, {name: s, type: string, default: no}]",
    )
    spec = parse_spec(text.encode(), file=FILE)
    assert [parameter.default for parameter in spec.parameters] == ["2024-01-15", "no"]


@pytest.mark.rule("9.1")
@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (
            "select '{{ executon_date }}'",
            (
                "datasets/daily_clicks.sql:1:12: 'executon_date' is not a parameter of this "
                "dataset. Did you mean 'execution_date'?"
            ),
        ),
        ("select 1\n{{ execution_date ", "datasets/daily_clicks.sql:2: unexpected end of template"),
        ("{% include 'x' %}", "a SQL template can't include another; it can import macros."),
        ("  \n", "the SQL file 'daily_clicks.sql' is empty."),
        ("x" * (1024 * 1024 + 1), "at most 1,024 are allowed"),
    ],
)
def test_template_problem_is_found_by_validation(sql: str, problem: str) -> None:
    assert problem in problems(SPEC, {"daily_clicks.sql": sql})[0]


@pytest.mark.rule("2.4")
def test_spec_has_exactly_one_query() -> None:
    both = spec_text("a", extra="query_file: x.sql")
    assert (
        "give exactly one of 'query_file' and 'query_statement'." in problems(both, {"x.sql": "select 1"})[0]
    )
    neither = "name: a\ntype: Dataset\nowner: a@example.com\n"
    assert "give exactly one of 'query_file' and 'query_statement'." in problems(neither)[0]


@pytest.mark.rule("2.17")
def test_parameter_of_a_scheduled_spec_needs_a_default() -> None:
    extra = "schedule: {cron: '0 9 * * *'}\nparameters: [{name: limit, type: integer, default: 10}]"
    assert isinstance(check_spec(spec_text("a", extra=extra).encode(), {}, file=FILE), DatasetSpec)


@pytest.mark.rule("2.8")
def test_a_default_must_be_one_of_the_choices_and_of_the_type() -> None:
    wrong = "parameters: [{name: n, type: integer, default: 3, choices: [1, 2]}]"
    assert "the default 3 is not one of 'choices'." in problems(spec_text("a", extra=wrong))[0]
    wrong = "parameters: [{name: n, type: integer, default: many}]"
    assert "expected a whole number, got 'many'." in problems(spec_text("a", extra=wrong))[0]
    wrong = "parameters: [{name: execution_date, type: string, default: yesterday}]"
    assert "expected a date as YYYY-MM-DD, got 'yesterday'." in problems(spec_text("a", extra=wrong))[0]
    wrong = "parameters: [{name: carriers, type: list, default: [AA, UA, DL], choices: [AA, UA]}]"
    assert (
        "the default ['AA', 'UA', 'DL'] is not one of 'choices'." in problems(spec_text("a", extra=wrong))[0]
    )


@pytest.mark.rule("2.11")
def test_an_unknown_dialect_is_refused_with_the_nearest() -> None:
    wrong = spec_text("a", extra="execution: {dialect: duckbd}")
    assert "Did you mean 'duckdb'?" in problems(wrong)[0]


@pytest.mark.rule("2.1")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (SPEC.encode(), True),
        (b"type: Dataset\n\tbroken", True),
        (b"version: 2\nmodels: []", False),
        (b"version: !ref x", False),
        (b"type: Metric\nname: x", False),
        (b"name: x\nowner: a@b.c\ntype: dataset", True),
    ],
)
def test_other_yaml_is_skipped_and_a_broken_spec_is_not(body: bytes, expected: bool) -> None:
    assert is_dataset_document(body) is expected


@pytest.mark.rule("2.22")
def test_yaml_problem_does_not_hide_sql_problems() -> None:
    found = problems(SPEC + "tagz: []\n", {"daily_clicks.sql": "select {{ nowhere }}"})
    assert [text.partition(": ")[2].split("'")[1] for text in found] == ["tagz", "nowhere"]


@pytest.mark.rule("2.19")
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("team: @ops", "1:7: not valid YAML: a value can't begin with '@'. Put it in quotes: \"@ops\""),
        ("team: `ops`", "1:7: not valid YAML: a value can't begin with '`'. Put it in quotes: \"`ops`\""),
        ("tags: [a, %b]", "1:11: not valid YAML: a value can't begin with '%'. Put it in quotes: \"%b\""),
        (
            "cron: */5 * * * *",
            "1:7: not valid YAML: a value can't begin with '*'. Put it in quotes: \"*/5 * * * *\"",
        ),
        (
            "schedule: {cron: */5 9,18 * * *, timezone: UTC}",
            "1:18: not valid YAML: a value can't begin with '*'. Put it in quotes: \"*/5 9,18 * * *\"",
        ),
        (
            "description: [draft] text",
            (
                "1:22: not valid YAML: text follows the '[' that begins a value, and its end. "
                'Put it in quotes: "[draft] text"'
            ),
        ),
        (
            "description: {a} b",
            (
                "1:18: not valid YAML: text follows the '{' that begins a value, and its end. "
                'Put it in quotes: "{a} b"'
            ),
        ),
        (
            "description: >5 rows",
            (
                "1:17: not valid YAML: the text after '|' or '>' begins in the next line. "
                'Put it in quotes: ">5 rows"'
            ),
        ),
        (
            "description: |x y",
            (
                "1:15: not valid YAML: the text after '|' or '>' begins in the next line. "
                'Put it in quotes: "|x y"'
            ),
        ),
        (
            "description: {{ x }}",
            "1:15: a key must be plain text. Put a value that begins with '{' in quotes.",
        ),
        ("tags: *x", '1:7: aliases are not allowed (*x); write the value out. Put it in quotes: "*x"'),
        ("tags: *x y", '1:7: aliases are not allowed (*x); write the value out. Put it in quotes: "*x y"'),
        ("tags: !x y", '1:7: tags are not allowed (!x). Put it in quotes: "!x y"'),
        ("tags: ! x", '1:7: tags are not allowed (!). Put it in quotes: "! x"'),
        ("tags: !!map {x: 1}", "1:7: tags are not allowed (tag:yaml.org,2002:map). Remove '!!map'."),
        ("team: &ops", '1:7: anchors are not allowed (&ops). Put it in quotes: "&ops"'),
        ("tags: [&a b, c]", '1:8: anchors are not allowed (&a). Put it in quotes: "&a b"'),
        ("team: &a&b", "1:7: not valid YAML: a value can't begin with '&'. Put it in quotes: \"&a&b\""),
        ("team: !50%", "1:7: not valid YAML: a value can't begin with '!'. Put it in quotes: \"!50%\""),
        ("%: x", "1:1: not valid YAML: a line can't begin with '%'. Put the key in quotes."),
        ("owner: >5", "1:8: the text after '|' or '>' begins in the next line. Put it in quotes: \">5\""),
        (
            "schedule:\n  cron: x\n\tretry: 1",
            "3:1: not valid YAML: a tab can't stand here. Use spaces, not tabs.",
        ),
        ("owner: a\n \tteam: b", "2:7: not valid YAML: a tab can't stand here. Use spaces, not tabs."),
        ("description: |\n\ttext", "2:1: not valid YAML: a tab can't stand here. Use spaces, not tabs."),
        ("tags:\n  -\ta", "2:4: not valid YAML: a tab can't stand here. Use spaces, not tabs."),
        (
            "description: a: b  # why",
            "1:15: not valid YAML: a value with ': ' in it looks like another key. Put it in quotes: \"a: b\"",
        ),
        ("owner: 'a", "1:8: not valid YAML: the quote ' that opens here is not closed."),
        ('owner: "a', '1:8: not valid YAML: the quote " that opens here is not closed.'),
        (
            "description: 'it's'",
            "1:18: not valid YAML: text follows a closing quote. Put the whole value in quotes",
        ),
        ("tags: [a, b", "1:7: not valid YAML: the '[' that opens here is not closed, or a ',' is missing."),
        ("name:a", "2:6: not valid YAML: a key can't stand here. Indent it like the other keys"),
        ("type: Dataset\nname", "2:1: not valid YAML: this line has no ':'. Write it as 'key: value'"),
    ],
)
def test_what_yaml_refuses_is_told_in_plain_words_with_what_to_write(line: str, problem: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_document(f"{line}\nother: 1\n".encode(), "a.yaml")
    assert str(refused.value.problems[0]).startswith(f"a.yaml:{problem}")


@pytest.mark.rule("2.19")
def test_a_bracket_that_is_open_at_the_end_is_told() -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_document(b"name: a\ntags: [\n", "a.yaml")
    told = "a.yaml:3:1: not valid YAML: the text ends too early. Close each '[' and '{' that is open."
    assert str(refused.value.problems[0]) == told


@pytest.mark.rule("2.19")
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            'team: "@한국"',
            "'@한국' is not a team; after '@' only ASCII letters, digits, '_', '.' and '-' are allowed.",
        ),
        ("team: ops", "'ops' is not a team; write \"@name\", in quotes."),
        (
            "execution: {connection: 창고}",
            "'창고' is not a name; only ASCII letters, digits, '_', '.' and '-'",
        ),
        ("parameters: [{name: 날짜, type: date}]", "'날짜' is not a name; use ASCII letters, digits and '_'"),
    ],
)
def test_a_field_with_other_letters_than_it_may_have_names_the_rule(line: str, problem: str) -> None:
    body = f"name: a.b\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n{line}\n"
    with pytest.raises(InvalidSpec) as refused:
        parse_spec(body.encode(), file="a.yaml")
    assert problem in str(refused.value.problems[0])
