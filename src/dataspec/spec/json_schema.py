"""The JSON Schema of a Dataset Spec (draft 2020-12), for editors: made of the model, shipped as a file.

``python -m dataspec.spec.json_schema`` writes the file anew. The schema holds what one place of a
YAML says by itself; what only the parser can know, such as whether a file exists or a cron
ever fires, it leaves to ``dli dataset validate``.
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

_RULES: dict[str, dict[str, Any]] = {
    "DatasetSpec.name": {"pattern": _NAME, "examples": ["iceberg.analytics.daily_clicks"]},
    "DatasetSpec.owner": {"maxLength": 100, "examples": ["engineer@example.com"]},
    "DatasetSpec.team": {"examples": ["@data-engineering"]},
    "DatasetSpec.description": _LONG,
    "DatasetSpec.tags": _TAGS,
    "DatasetSpec.domains": _TAGS,
    "DatasetSpec.query_file": {"pattern": _PATH, "examples": ["daily_clicks.sql"]},
    "DatasetSpec.depends_on": {"items": {"type": "string", "pattern": _NAME}},
    "Statement.file": {"pattern": _PATH},
    "Parameter.name": {"not": {"enum": ["data_interval_start", "data_interval_end"]}},
    "Parameter.description": _LONG,
    "Column.description": _LONG,
    "ScheduleConfig.cron": {
        "pattern": rf"^\s*{_CRON_FIELD}(\s+{_CRON_FIELD}){{4}}\s*$",
        "examples": ["0 9 * * *"],
    },
    "ScheduleConfig.timezone": {
        "pattern": r"^[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*$",
        "examples": ["UTC", "Asia/Seoul"],
    },
    "WebhookTarget.url": {"format": "uri"},
}
"""Rules of single keys that the model checks by functions."""

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
"""What a default or a choice may be, by the type of its parameter: text is read as the type."""


def schema_text() -> str:
    """Return the schema as it is shipped."""
    return FILE.read_text(encoding="utf-8")


def generated_text() -> str:
    """Return the schema as the model makes it now."""
    return json.dumps(dataset_schema(), indent=2, ensure_ascii=False) + "\n"


def dataset_schema() -> dict[str, Any]:
    """Return the schema of the model, with descriptions and with the rules that it checks by functions."""
    from dataspec.spec.model import DatasetSpec

    root = DatasetSpec.model_json_schema(by_alias=True)
    for name, model in {**root["$defs"], "DatasetSpec": root}.items():
        _describe(name, model)
    for keys, model in (
        (("query_file", "query_statement"), root),
        (("sql", "file"), root["$defs"]["Statement"]),
    ):
        model["oneOf"] = [{"required": [key], "properties": {key: {"type": "string"}}} for key in keys]
    root["$defs"]["Parameter"]["allOf"] = _by_type()
    root["$defs"]["Execution"]["properties"]["dialect"] |= {"enum": [*_dialects(), None]}
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Dataset Spec"}
    return {**about, **{key: part for key, part in root.items() if key != "title"}}


def _describe(name: str, model: dict[str, Any]) -> None:
    from dataspec.spec.key_descriptions import KEYS, MODELS

    model["description"] = MODELS[name]
    for key, part in model["properties"].items():
        _without_what_editors_lack(part)
        part |= {"title": key, "description": KEYS[f"{name}.{key}"], **_RULES.get(f"{name}.{key}", {})}


def _without_what_editors_lack(part: dict[str, Any]) -> None:
    """Remove what is OpenAPI's, and defaults of which an editor would write null."""
    part.get("items", {}).pop("discriminator", None)
    if part.get("default", ...) is None:
        del part["default"]


def _by_type() -> list[dict[str, Any]]:
    """Return the rules for defaults and choices, which depend on the type; an ``execution_date`` is a date."""
    partition = {"properties": {"name": {"const": "execution_date"}}, "required": ["name"]}
    dated = {"properties": {"type": {"enum": ["string", "date"]}, **_fitting("date")}}
    rules = [{"if": partition, "then": dated}]
    for kind in _VALUES:
        typed = {"properties": {"type": {"const": kind}}, "required": ["type"], "not": partition}
        rules.append({"if": typed, "then": {"properties": _fitting(kind)}})
    return rules


def _fitting(kind: str) -> dict[str, Any]:
    value = _VALUES[kind]
    choice = _ITEM if kind == "list" else value
    return {
        "default": {"anyOf": [value, {"type": "null"}]},
        "choices": {"anyOf": [{"type": "array", "minItems": 1, "items": choice}, {"type": "null"}]},
    }


def _dialects() -> list[str]:
    from sqlglot.dialects.dialect import Dialects

    return sorted(dialect.value for dialect in Dialects if dialect.value)


if __name__ == "__main__":
    FILE.write_text(generated_text(), encoding="utf-8")
