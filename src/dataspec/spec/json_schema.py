"""Generate the JSON Schema of a Dataset Spec (draft 2020-12) from the model; it ships as a file for editors.

``python -m dataspec.spec.json_schema`` writes the file. The schema has the rules of single keys. Rules that
need more, such as that a file exists or a cron expression ever fires, are left to ``dli dataset validate``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dataset.schema.json")
COMMAND = "python -m dataspec.spec.json_schema"

_NAME = (
    r"^(?!.*\.\.)(?!\.)(?!.*\.$)(?!manual__|scheduled__|backfill__|asset_triggered__|dataset_triggered__)"
    r"(?!.*_[0-9]{8}_[0-9]{6}(_[0-9]+)?(_[0-9]{8})?$)[A-Za-z0-9_.\-]{1,200}$"
)
_PATH = r"^(?![/\\])(?!.*[:\\])(?!(.*/)?\.\.(/|$)).+$"
_LINE = r"^[^\n\r\t]*$"
_CRON_FIELD = r"[0-9A-Za-z*/,#?\-]+"
_TAGS = {"maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": _LINE}}
_LONG = {"maxLength": 5000}

_FORMS = ("TableForm", "ViewForm", "ReplacePartitionForm", "AppendForm", "MergeForm")
_INCREMENTAL = _FORMS[2:]

_RULES: dict[str, dict[str, Any]] = {
    "DatasetSpec.name": {"pattern": _NAME, "examples": ["iceberg.analytics.daily_clicks"]},
    "DatasetSpec.owner": {"maxLength": 100, "examples": ["engineer@example.com"]},
    "DatasetSpec.team": {"examples": ["@data-engineering"]},
    "DatasetSpec.description": _LONG,
    "DatasetSpec.tags": _TAGS,
    "DatasetSpec.domains": _TAGS,
    "DatasetSpec.query_file": {"pattern": _PATH, "examples": ["daily_clicks.sql"]},
    "DatasetSpec.depends_on": {
        "items": {
            "oneOf": [
                {"type": "string", "pattern": _NAME},
                {"$ref": "#/$defs/Dependency"},
                {"$ref": "#/$defs/SqlDependency"},
            ]
        }
    },
    "DatasetSpec.materialization": {
        "anyOf": [
            {"enum": ["table", "view"]},
            *({"$ref": f"#/$defs/{form}"} for form in _FORMS),
            {"type": "null"},
        ]
    },
    "AcceptedValues.values": {"items": {"type": ["string", "number", "boolean"]}},
    "Column.tags": _TAGS,
    "Dependency.dataset": {"pattern": _NAME},
    "Statement.file": {"pattern": _PATH},
    "Parameter.name": {"not": {"enum": ["data_interval_start", "data_interval_end"]}},
    "Parameter.description": _LONG,
    "Column.description": _LONG,
    "ScheduleConfig.cron": {
        "pattern": rf"^(\s*{_CRON_FIELD}(\s+{_CRON_FIELD}){{4}}\s*|@upstream)$",
        "examples": ["0 9 * * *", "@upstream"],
    },
    "ScheduleConfig.timezone": {
        "pattern": r"^[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*$",
        "examples": ["UTC", "Asia/Seoul"],
    },
    "DeadlineConfig.by": {"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["10:00"]},
    "WebhookTarget.url": {"format": "uri"},
}
"""Rules of single keys that the model checks by Python functions."""

_ITEM = {"type": ["string", "number", "boolean"]}
_VALUES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": ["integer", "string"], "pattern": r"^\s*[\-+]?[0-9]+\s*$"},
    "float": {
        "type": ["number", "string"],
        "pattern": r"^\s*[\-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][\-+]?[0-9]+)?\s*$",
    },
    "boolean": {"type": ["boolean", "string"], "pattern": r"^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\s*$"},
    "date": {"type": "string", "pattern": r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*$"},
    "datetime": {"type": "string", "pattern": r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,+\-Z]+)?\s*$"},
    "list": {"type": ["array", "string"], "items": _ITEM},
}
"""The JSON types of a default or a choice, by the parameter's type; text is parsed as that type."""


MODELS = {
    "DatasetSpec": "One dataset: what it is, its SQL, and when it is built.",
    "Statement": "A statement that runs before or after the query, in one session with it.",
    "Parameter": "A parameter of a run, which the SQL uses by its name.",
    "Dependency": "A dataset whose partitions a scheduled run waits for.",
    "SqlDependency": "A query that a scheduled run repeats until it returns a row.",
    "Column": "A column that the query yields.",
    "Check": "What the rows of a run must be; exactly one kind of check.",
    "AcceptedValues": "The values that a column may have, beside null.",
    "Relationship": "A column whose values another table has; null passes.",
    "RowCount": "How many rows there may be.",
    "UnitTest": "A unit test: the rows that the SQL yields for given ones.",
    "FixtureFile": "The rows of a CSV file.",
    "TableForm": "The rows of the query become the table's only rows.",
    "ViewForm": "The query becomes a view.",
    "ReplacePartitionForm": "The rows of the query replace those of the run's partition.",
    "AppendForm": "The rows of the query are added to the table.",
    "MergeForm": "The rows of the query replace those with the same key; the others are added.",
    "Execution": "Where the SQL runs, and for how long at most.",
    "ScheduleConfig": "When the dataset is built. A dataset without a schedule runs only on request.",
    "RetryConfig": "Retries after a failed attempt.",
    "NotificationConfig": "The targets of notifications, by event.",
    "DeadlineConfig": "Until when a scheduled partition must be built, and how long a run may take.",
    "SlackTarget": "A Slack channel.",
    "EmailTarget": "One or more mail addresses.",
    "WebhookTarget": "A URL that receives a POST request.",
    "NamedTarget": "A target that the server's settings define.",
}
"""The description of each model."""
KEYS = {
    "DatasetSpec.name": (
        "The dataset's identity, and its DAG's id in Airflow. Letters A-Z a-z, digits, '_', '-' and '.'; "
        "200 characters at most."
    ),
    "DatasetSpec.type": "Always Dataset: it marks the file as a Dataset Spec.",
    "DatasetSpec.owner": "The e-mail address of the person responsible for the dataset.",
    "DatasetSpec.team": 'The team, as "@name", in quotes: @ means something in YAML.',
    "DatasetSpec.description": "What the dataset contains, in a sentence or two; at most 5,000 characters.",
    "DatasetSpec.tags": "Tags to find the dataset by; they become tags of its DAG.",
    "DatasetSpec.domains": "The business domains that the dataset belongs to.",
    "DatasetSpec.query_file": "The file with the SQL, relative to this one. Give this or query_statement.",
    "DatasetSpec.query_statement": "The SQL itself, a Jinja template. Give this or query_file.",
    "DatasetSpec.pre_statements": "Statements before the query, in order, in one session with it.",
    "DatasetSpec.post_statements": "Statements after the query, in order, in one session with it.",
    "DatasetSpec.parameters": "The parameters of a run. A run with any other parameter is refused.",
    "DatasetSpec.depends_on": "The datasets that this one reads, and the queries that a scheduled run waits for.",
    "DatasetSpec.schema": "The columns that the query yields.",
    "DatasetSpec.materialization": (
        "What a run makes of the rows of the query, which is then one SELECT: table, view, or keys and values. "
        "Without it the SQL fills its tables itself."
    ),
    "DatasetSpec.checks": "What the rows must be: checked before they are published.",
    "DatasetSpec.tests": "Unit tests of the SQL, which dli dataset test runs.",
    "DatasetSpec.execution": "Where the SQL runs, and for how long at most.",
    "DatasetSpec.schedule": "When the dataset is built. A dataset without a schedule runs only on request.",
    "DatasetSpec.deadline": "Until when a scheduled partition must be built, and how long a run may take.",
    "DatasetSpec.retry": "Retries after a failed attempt.",
    "DatasetSpec.notifications": "The targets of notifications, by event.",
    "DeadlineConfig.by": (
        'A local time in quotes, such as "10:00": the first one after the partition\'s run is due, in the '
        "schedule's time zone."
    ),
    "DeadlineConfig.within_seconds": "Seconds after the partition's run is due.",
    "DeadlineConfig.max_duration_seconds": "A run that takes longer is slow; waiting does not count.",
    "Statement.name": "The statement's name in logs.",
    "Statement.sql": "The SQL itself, a Jinja template. Give this or file.",
    "Statement.file": "The file with the SQL, relative to this one. Give this or sql.",
    "Statement.continue_on_error": "Whether the run continues after this statement fails.",
    "Parameter.name": "The parameter's name in runs and in the SQL.",
    "Parameter.type": "The type of the value; text is parsed as this type, any other value is refused.",
    "Parameter.required": "Whether a run must give it; a parameter with a default need not be given.",
    "Parameter.default": "The value of a run that does not give the parameter.",
    "Parameter.description": "What the value is for.",
    "Parameter.choices": "The allowed values; for a list, the allowed items.",
    "Dependency.dataset": "The upstream dataset's name.",
    "Dependency.partition": (
        "same: the partitions that the run covers; previous: those of the partition before; latest: any. "
        "By default same, or latest for a dataset without a schedule."
    ),
    "Dependency.timeout_seconds": "After this time of waiting the run fails; 24 hours by default.",
    "SqlDependency.sql": "The query, a Jinja template; the run starts when it returns a row.",
    "SqlDependency.connection": "The engine's connection; by default that of 'execution'.",
    "SqlDependency.every_seconds": "Seconds between two queries.",
    "SqlDependency.timeout_seconds": "After this time of waiting the run fails; 24 hours by default.",
    "Column.name": "The column's name.",
    "Column.type": "The column's type, as the engine names it; without it any type will do.",
    "Column.description": "What the column contains.",
    "Column.tags": "pii: rows that failed a check are shown without this column.",
    "Check.name": "The name in messages; by default the kind and the columns, such as not_null_id.",
    "Check.severity": "error: rows that fail fail the run; warn: they are a warning.",
    "Check.where": "A condition of SQL: only rows for which it is true are checked.",
    "Check.not_null": "Columns that are never null.",
    "Check.unique": "Columns that together are different in each row; rows with a null among them pass.",
    "Check.accepted_values": "The values that a column may have, beside null.",
    "Check.relationships": "A column whose values another table has; null passes.",
    "Check.row_count": "How many rows the run may yield.",
    "Check.expression": "A condition of SQL that is true for each row; null fails.",
    "Check.sql": "A query whose rows are failures; {{ this }} is the table of the rows.",
    "AcceptedValues.column": "The column.",
    "AcceptedValues.values": "The values: texts, numbers or booleans, of one type.",
    "Relationship.column": "The column of this dataset.",
    "Relationship.to": "The other table.",
    "Relationship.field": "The column of the other table.",
    "RowCount.min": "The least number of rows.",
    "RowCount.max": "The largest number of rows.",
    "UnitTest.name": "The test's name.",
    "UnitTest.description": "What the test proves.",
    "UnitTest.parameters": "The parameters of the run, by name.",
    "UnitTest.given": (
        "The rows of each table that the SQL reads: a list of rows, CSV text, or {file: rows.csv}; "
        "of 'this' those that the dataset's own table has before the run."
    ),
    "UnitTest.expect": "The rows that the SQL yields: a list of rows, CSV text, or {file: rows.csv}.",
    "FixtureFile.file": "The path of the CSV file, relative to this one.",
    **{
        f"{form}.{key}": text
        for form in _FORMS
        for key, text in {
            "type": "table, view or incremental.",
            "table": "The name of the table or view; the dataset's name if not given.",
            "grants": "Who holds which privilege, such as {select: [bi]}; others stay as they are.",
        }.items()
    },
    **{
        f"{form}.{key}": text
        for form in _INCREMENTAL
        for key, text in {
            "strategy": "replace_partition, append or merge.",
            "on_schema_change": (
                "What a run does with a new column of the query: fail, append_columns (adds it to the table) "
                "or ignore."
            ),
        }.items()
    },
    "ReplacePartitionForm.partition_column": "The column that says to which partition a row belongs.",
    "MergeForm.unique_key": "The columns that identify a row; none of them is null.",
    "Execution.connection": "The engine: a connection of Airflow, and an entry of 'connections' in dli.yaml.",
    "Execution.dialect": "The SQL's dialect; the connection's if not given.",
    "Execution.timeout_seconds": "After this time an attempt is ended and its query cancelled.",
    "ScheduleConfig.cron": (
        "Minute, hour, day of month, month and day of week, such as \"0 9 * * *\"; in 'timezone'. "
        '"@upstream", in quotes: a run for each partition that all datasets of depends_on have built.'
    ),
    "ScheduleConfig.enabled": "false: no scheduled runs; manual runs still work.",
    "ScheduleConfig.timezone": "The time zone of the cron expression, by its IANA name, such as Asia/Seoul.",
    "ScheduleConfig.catch_up": "true: after a pause or a downtime every missed partition is built, in order; "
    "false: the latest alone.",
    "ScheduleConfig.retry": "As 'retry' at the top level; give one of the two.",
    "ScheduleConfig.notifications": "As 'notifications' at the top level; give one of the two.",
    "RetryConfig.max_attempts": "Maximum number of retries after a failed attempt; 0 for none.",
    "RetryConfig.delay_seconds": "Seconds between two attempts.",
    "NotificationConfig.on_failure": "Targets that are notified when a run fails.",
    "NotificationConfig.on_success": "Targets that are notified when a run completes.",
    "NotificationConfig.on_source_change": "Targets that are notified when the dataset's source changes between manual and code.",
    "NotificationConfig.on_late": "Targets that are notified when a partition is late, or a run is slow.",
    "NotificationConfig.on_recovered": "Targets that are notified of the first success after a failure or lateness.",
    "NotificationConfig.on_backfill_end": "Targets that are notified when a backfill ends.",
    "SlackTarget.type": "A Slack channel.",
    "SlackTarget.channel": 'The channel, such as "#data-alerts", in quotes: # starts a comment in YAML.',
    "EmailTarget.type": "One or more mail addresses.",
    "EmailTarget.to": "An address, or a list of up to 50.",
    "WebhookTarget.type": "A URL that receives a POST request.",
    "WebhookTarget.url": "An http or https address, without credentials.",
    "WebhookTarget.format": "The messenger whose incoming webhook it is; by default Basecamp's own JSON is sent.",
    "NamedTarget.type": "A target that the server's settings define.",
    "NamedTarget.name": "The target's name in the server's settings.",
}
"""The description of each key, by its model."""


def schema_text() -> str:
    """Return the shipped schema."""
    return FILE.read_text(encoding="utf-8")


def generated_text() -> str:
    """Return the schema generated from the model."""
    return json.dumps(dataset_schema(), indent=2, ensure_ascii=False) + "\n"


def dataset_schema() -> dict[str, Any]:
    """Return the model's schema, with descriptions and the rules of its Python functions."""
    from dataspec.spec.checks import KINDS
    from dataspec.spec.dialects import known_dialects
    from dataspec.spec.model import DatasetSpec

    root = DatasetSpec.model_json_schema(by_alias=True)
    for name, model in {**root["$defs"], "DatasetSpec": root}.items():
        _describe(name, model)
    for keys, model in (
        (("query_file", "query_statement"), root),
        (("sql", "file"), root["$defs"]["Statement"]),
    ):
        model["oneOf"] = [{"required": [key], "properties": {key: {"type": "string"}}} for key in keys]
    root["$defs"]["Check"]["oneOf"] = [
        {"required": [kind], "properties": {kind: {"not": {"type": "null"}}}} for kind in KINDS
    ]
    root["$defs"]["Parameter"]["allOf"] = _by_type()
    root["$defs"]["Execution"]["properties"]["dialect"] |= {"enum": [*sorted(known_dialects()), None]}
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Dataset Spec"}
    return {**about, **{key: part for key, part in root.items() if key != "title"}}


def _describe(name: str, model: dict[str, Any]) -> None:
    model["description"] = MODELS[name]
    for key, part in model["properties"].items():
        _without_what_editors_lack(part)
        part |= {"title": key, "description": KEYS[f"{name}.{key}"], **_RULES.get(f"{name}.{key}", {})}


def _without_what_editors_lack(part: dict[str, Any]) -> None:
    """Remove OpenAPI's extensions, and null defaults, which editors would insert."""
    part.get("items", {}).pop("discriminator", None)
    if part.get("default", ...) is None:
        del part["default"]


def _by_type() -> list[dict[str, Any]]:
    """Return the rules for defaults and choices by type; an ``execution_date`` that is a string is a date."""
    named = {"name": {"const": "execution_date"}}
    partition = {"properties": named, "required": ["name"]}
    as_string = {"properties": {**named, "type": {"const": "string"}}, "required": ["name", "type"]}
    rules = [
        {"if": partition, "then": {"properties": {"type": {"enum": ["string", "date", "datetime"]}}}},
        {"if": as_string, "then": {"properties": _fitting("date")}},
    ]
    for kind in _VALUES:
        typed: dict[str, Any] = {"properties": {"type": {"const": kind}}, "required": ["type"]}
        if kind == "string":
            typed["not"] = partition
        rules.append({"if": typed, "then": {"properties": _fitting(kind)}})
    return rules


def _fitting(kind: str) -> dict[str, Any]:
    value = _VALUES[kind]
    choice = _ITEM if kind == "list" else value
    return {
        "default": {"anyOf": [value, {"type": "null"}]},
        "choices": {"anyOf": [{"type": "array", "minItems": 1, "items": choice}, {"type": "null"}]},
    }


if __name__ == "__main__":
    FILE.write_text(generated_text(), encoding="utf-8")
