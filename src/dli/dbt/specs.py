"""Write the Dataset Spec of a dbt model or seed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from dataspec.spec.model import MAX_DESCRIPTION, MAX_TAG
from dli.dbt.source.properties import entries, texts
from dli.dbt.sql.templates import as_template
from dli.dbt.sql.values import NotKnown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.problems import Problem
    from dli.dbt.source.project import DbtProject, Node
    from dli.dbt.sql.renderer import Renderer

_DOC = re.compile(r"\{\{-?\s*doc\(\s*(?:['\"]\w+['\"]\s*,\s*)?['\"](\w+)['\"]\s*\)\s*-?\}\}")
_TAG = re.compile(r"[\x00-\x1f]")
_LEFT_OUT = {
    "partition_by": "how the engine lays the table out",
    "cluster_by": "how the engine lays the table out",
    "indexes": "the indexes of the table",
    "dist": "how the engine lays the table out",
    "sort": "how the engine lays the table out",
    "sql_header": "statements before the query",
    "incremental_predicates": "which rows of the table a merge compares",
    "merge_update_columns": "which columns a merge changes",
    "merge_exclude_columns": "which columns a merge changes",
}
"""Keys of a configuration without a counterpart, and what they say."""
_CHANGES = {"append_new_columns": "append_columns", "sync_all_columns": "append_columns", "fail": "fail"}


@dataclass
class TurnedSpec:
    """The spec of a node, on the way to YAML."""

    node: Node
    data: dict[str, Any] = field(default_factory=dict)
    sql: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def left_out(self, message: str, hint: str | None = None) -> None:
        """Note what of the node has no counterpart."""
        self.problems.append(self.node.problem(message, hint=hint))


class SpecWriter:
    """Makes the parts of specs that come from a node's configuration and description.

    Args:
        project: The dbt project.
        renderer: Renders hooks and descriptions.
        owner: The owner of datasets whose dbt owner has no address.
        dialect: The dialect for ``execution``; None where it is the connection's.
    """

    def __init__(self, project: DbtProject, renderer: Renderer, owner: str, dialect: str | None) -> None:
        self._project = project
        self._renderer = renderer
        self._owner = owner
        self._dialect = dialect

    def head(self, turned: TurnedSpec) -> dict[str, Any]:
        """Return the keys that say what the dataset is."""
        node = turned.node
        tags = dict.fromkeys(
            _TAG.sub(" ", tag)[:MAX_TAG] for tag in texts(node.config.get("tags") or []) if tag
        )
        found = {
            "name": node.dataset,
            "type": "Dataset",
            "owner": self._owner_of(node),
            "description": self._description(node.properties, node.package.name),
            "tags": list(tags),
        }
        return {key: value for key, value in found.items() if value}

    def materialization(self, turned: TurnedSpec) -> Any:
        """Return the key ``materialization`` of a model.

        Raises:
            NotKnown: When it has no counterpart.
        """
        node = turned.node
        kind = node.config.get("materialized", "view")
        if kind == "ephemeral":
            turned.left_out("an ephemeral model became a view: a dataset has a table or a view of its own.")
            kind = "view"
        if kind == "incremental":
            found = self._incremental(turned)
        elif kind in {"table", "view"}:
            found = {"type": kind}
        else:
            raise NotKnown(f"the materialization '{kind}' has no counterpart")
        if node.table != node.dataset:
            found["table"] = node.table
        if grants := self._grants(node):
            found["grants"] = grants
        for key, what in _LEFT_OUT.items():
            if node.config.get(key):
                turned.left_out(f"'{key}' was left out: {what} has no key in a spec.")
        return kind if found == {"type": kind} else found

    def _incremental(self, turned: TurnedSpec) -> dict[str, Any]:
        config = turned.node.config
        strategy = config.get("incremental_strategy")
        if isinstance(strategy, str) and strategy not in _STRATEGIES:
            raise NotKnown(f"the strategy '{strategy}' has no counterpart: write 'replace_partition' by hand")
        changes = str(config.get("on_schema_change", "ignore"))
        if changes == "sync_all_columns":
            turned.left_out("'sync_all_columns' became 'append_columns': no run drops a column.")
        how = _by_partition(turned) if is_by_partition(turned.node) else _by_key(turned)
        return {"type": "incremental", **how, "on_schema_change": _CHANGES.get(changes, "ignore")}

    def _grants(self, node: Node) -> dict[str, list[str]]:
        given = node.config.get("grants")
        return {key: texts(value) for key, value in given.items()} if isinstance(given, dict) else {}

    def statements(self, turned: TurnedSpec, key: str) -> list[dict[str, str]]:
        """Return the hooks of a node as statements; those that can't be rendered are noted."""
        found = []
        for number, hook in enumerate(turned.node.config.get(key) or (), 1):
            text = hook.get("sql", "") if isinstance(hook, dict) else str(hook)
            try:
                sql = as_template(self._renderer.render(text, package=turned.node.package.name))
            except NotKnown as reason:
                turned.left_out(f"a {key.replace('_', '-')} was left out: {reason}.")
                continue
            if sql := sql.strip().rstrip(";"):
                found.append({"name": f"{key} {number}", "sql": sql})
        return found

    def columns(self, turned: TurnedSpec) -> list[dict[str, Any]]:
        """Return the columns that dbt describes, as entries of ``schema``."""
        found = []
        for entry in entries(turned.node.properties.get("columns")):
            name = str(entry.get("name"))
            kind = entry.get("data_type")
            tags = [*texts(entry.get("tags") or []), *texts((entry.get("config") or {}).get("tags") or [])]
            column = {
                "name": name,
                "type": str(kind) if kind else None,
                "description": self._description(entry, turned.node.package.name),
                "tags": list(dict.fromkeys(tags)),
            }
            found.append({key: value for key, value in column.items() if value})
        return found

    @property
    def execution(self) -> dict[str, str]:
        """The key ``execution``, where the dialect is not the connection's."""
        return {"dialect": self._dialect} if self._dialect else {}

    def _description(self, entry: Mapping[str, Any], package: str) -> str:
        text = str(entry.get("description") or "")
        text = _DOC.sub(lambda match: self._project.docs.get(match[1], ""), text)
        if "{{" in text:
            try:
                text = self._renderer.render(text, package=package)
            except NotKnown:
                text = text.replace("{{", "").replace("}}", "")
        return "\n".join(line.rstrip() for line in text.strip().splitlines())[:MAX_DESCRIPTION]

    def _owner_of(self, node: Node) -> str:
        group: Mapping[str, Any] = self._project.groups.get(str(node.config.get("group") or ""), {})
        meta = node.config.get("meta") or {}
        candidates = [meta.get("owner"), *_emails(group.get("owner"))]
        return next(
            (one for one in candidates if isinstance(one, str) and _EMAIL.fullmatch(one)), self._owner
        )


_STRATEGIES = frozenset({"append", "merge", "delete+insert", "default", "microbatch"})


def is_by_partition(node: Node) -> bool:
    """Return whether a model is built batch by batch."""
    return node.config.get("incremental_strategy") == "microbatch"


def _by_partition(turned: TurnedSpec) -> dict[str, Any]:
    config = turned.node.config
    if not config.get("event_time"):
        raise NotKnown("'microbatch' names no 'event_time'")
    if (size := str(config.get("batch_size", "day"))) != "day":
        raise NotKnown(f"the batch size '{size}' needs a schedule: write 'replace_partition' by hand")
    if config.get("lookback"):
        turned.left_out("'lookback' was left out: build late days again by a backfill.")
    return {"strategy": "replace_partition", "partition_column": str(config["event_time"])}


def _by_key(turned: TurnedSpec) -> dict[str, Any]:
    config = turned.node.config
    strategy, key = config.get("incremental_strategy"), texts(config.get("unique_key") or [])
    if not key or strategy == "append":
        return {"strategy": "append"}
    if strategy == "delete+insert":
        turned.left_out(
            f"'delete+insert' became 'merge': {', '.join(key)} must be unique in the rows of a run."
        )
    return {"strategy": "merge", "unique_key": key}


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _emails(owner: Any) -> Iterator[Any]:
    found = owner.get("email") if isinstance(owner, dict) else owner
    yield from found if isinstance(found, list) else [found]


class Row(dict[str, Any]):
    """A row of a unit test, which is written in one line."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and lists below their key, indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_SHORT = 80
"""Maximum number of characters of a list that is written in one line."""


def _list(dumper: yaml.SafeDumper, found: list[Any]) -> yaml.SequenceNode:
    """Write a short list of plain values in one line."""
    is_short = (
        all(isinstance(one, str | int | float) for one in found)
        and sum(len(str(one)) for one in found) < _SHORT
    )
    return dumper.represent_sequence("tag:yaml.org,2002:seq", found, flow_style=is_short)


def _row(dumper: yaml.SafeDumper, row: Row) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", row.items(), flow_style=True)


_Dumper.add_representer(Row, _row)
_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def yaml_text(data: Mapping[str, Any]) -> str:
    """Return a spec as YAML."""
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
