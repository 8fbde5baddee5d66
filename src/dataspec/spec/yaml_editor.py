"""Edit the schedule in a spec's YAML in place, without changing any other byte.

A YAML library that writes the file anew reflows long lines, folded text and flow mappings.
So the text is changed at the places that the parser reports, and read again to see that it
says what it should.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from dataspec.errors import InvalidSpec, InvalidUsage
from dataspec.problems import Problem
from dataspec.spec.parse import parse_spec
from dataspec.spec.yaml_reader import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.nodes import MappingNode, Node

Value = str | int | bool

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLACES: dict[str, tuple[str, ...]] = {
    "cron": ("schedule", "cron"),
    "timezone": ("schedule", "timezone"),
    "enabled": ("schedule", "enabled"),
    "catch_up": ("schedule", "catch_up"),
    "retry_max_attempts": ("retry", "max_attempts"),
    "retry_delay_seconds": ("retry", "delay_seconds"),
}
_BEFORE = ("cron", "timezone", "enabled", "catch_up", "max_attempts", "delay_seconds")
"""The keys after which a new key is inserted, the preferred one last."""
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_/+*\- ]*[A-Za-z0-9*])?")
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+)*")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChanges:
    """New values of a schedule; None leaves a value unchanged."""

    cron: str | None = None
    timezone: str | None = None
    enabled: bool | None = None
    catch_up: bool | None = None
    retry_max_attempts: int | None = None
    retry_delay_seconds: int | None = None

    def values(self) -> dict[tuple[str, ...], Value]:
        """Return the new values, by their path in the spec."""
        given = asdict(self)
        return {path: given[name] for name, path in _PLACES.items() if given[name] is not None}


def edit_schedule(text: str, changes: ScheduleChanges, *, file: str = "dataset.yaml") -> str:
    """Return a spec's YAML with a changed schedule.

    Comments, order, quotes, indentation and line endings stay; a value that is so already
    is not touched.

    Args:
        text: The YAML.
        changes: What to set.
        file: The file's name, for problems.

    Raises:
        InvalidUsage: When there is no schedule and none is begun with a cron, or the YAML is
            written in a way that can't be changed in place.
        InvalidSpec: When the result is no valid spec, with the places in the changed text.
    """
    bom = _BOM if text.startswith(_BOM) else ""
    edited = text.removeprefix(_BOM)
    values = changes.values()
    data = read_document(edited.encode(), file).data
    has_schedule = data.get("schedule") is not None or changes.cron is not None
    if not has_schedule and any(path[0] == "schedule" for path in values):
        raise InvalidUsage(
            "This dataset has no schedule.", detail="Give a cron expression as well to add one."
        )
    # `retry` stays where the spec has it.
    above = ("schedule",) if has_schedule and data.get("retry") is None else ()
    for path, value in values.items():
        edited = _with_value(edited, (*above, *path) if path[0] == "retry" else path, value, file)
    parse_spec(edited.encode(), file=file)
    return bom + edited


def _with_value(text: str, path: tuple[str, ...], value: Value, file: str) -> str:
    """Return the text with one value changed, by the first edit that changes nothing else."""
    before = read_document(text.encode(), file).data
    wanted = _data_with(before, path, value)
    if _is_same(before, wanted):
        return text
    for edited in _edits(text, path, value):
        try:
            if _is_same(read_document(edited.encode(), file).data, wanted):
                return edited
        except InvalidSpec:
            continue
    if isinstance(value, str) and not value.isprintable():
        raise InvalidSpec([Problem(f"'{'.'.join(path)}' can't have a control character: {value!a}.", file)])
    raise InvalidUsage(
        f"'{'.'.join(path)}' can't be changed in place in this YAML.",
        detail="Change the file by hand, and register it again.",
    )


def _data_with(data: Any, path: tuple[str, ...], value: Value) -> Any:
    changed = part = deepcopy(data)
    for key in path[:-1]:
        if not isinstance(part.get(key), dict):
            part[key] = {}
        part = part[key]
    part[path[-1]] = value
    return changed


def _is_same(one: Any, other: Any) -> bool:
    # Compared as text, since True == 1 and 1 == 1.0.
    return repr(_sorted(one)) == repr(_sorted(other))


def _sorted(data: Any) -> Any:
    if isinstance(data, dict):
        return sorted((key, _sorted(value)) for key, value in data.items())
    return [_sorted(item) for item in data] if isinstance(data, list) else data


def _edits(text: str, path: tuple[str, ...], value: Value) -> Iterator[str]:
    """Yield edited texts, the preferred edit first."""
    root = yaml.compose(text, Loader=_Loader)
    mapping, rest = root, list(path)
    if not isinstance(root, yaml.MappingNode):
        return
    while isinstance(mapping, yaml.MappingNode) and (found := _entry(mapping, rest[0])):
        if len(rest) == 1:
            yield from _replacements(text, found[1], value)
            return
        if not isinstance(found[1], yaml.MappingNode):
            yield from _replacements(text, found[1], _nested(rest[1:], value))
            return
        mapping, rest = found[1], rest[1:]
    if isinstance(mapping, yaml.MappingNode):
        yield from _insertions(text, root, mapping, rest, value)


def _entry(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    return next(((name, node) for name, node in mapping.value if name.value == key), None)


def _nested(keys: list[str], value: Value) -> Any:
    return {keys[0]: _nested(keys[1:], value)} if keys else value


def _replacements(text: str, node: Node, value: Any) -> Iterator[str]:
    """Yield texts with a value replaced, in the same quotes where possible."""
    start, end = node.start_mark.index, node.end_mark.index
    if properties := _PROPERTIES.match(text, start, end):
        start = properties.end()
    end = start + len(text[start:end].rstrip())
    space = "" if start == 0 or text[start - 1].isspace() else " "
    for written in _written(value, getattr(node, "style", None)):
        yield text[:start] + space + written + text[end:]


def _written(value: Any, style: str | None = None) -> list[str]:
    """Return a value written in one line, in the given quotes first, then in others."""
    if isinstance(value, dict):
        return ["{" + ", ".join(f"{key}: {_written(inner)[-1]}" for key, inner in value.items()) + "}"]
    if isinstance(value, bool | int):
        return [str(value).lower()]
    quoted = json.dumps(value, ensure_ascii=False)
    if style == "'" and value.isprintable():
        return ["'" + value.replace("'", "''") + "'", quoted]
    return [value, quoted] if style in {None, ""} and _PLAIN.fullmatch(value) else [quoted]


def _insertions(
    text: str, root: MappingNode, mapping: MappingNode, keys: list[str], value: Value
) -> Iterator[str]:
    """Yield texts with keys added to a mapping."""
    known = {name.value: node for name, node in mapping.value}
    near = [known[key] for key in _BEFORE if key in known]
    last = near[-1] if near and mapping is not root else mapping.value[-1][1] if mapping.value else None
    if mapping.flow_style:
        yield from _flow_insertions(text, mapping, last, _nested(keys, value))
        return
    if last is None:
        return
    step = _step(root)
    newline = "\r\n" if "\r\n" in text else "\n"
    first_column = mapping.value[0][0].start_mark.column
    lines = _lines(keys, value, " " * first_column, step)
    end = _end(last)
    if getattr(last, "style", None) in {"|", ">"}:
        yield text[:end] + "".join(line + newline for line in lines) + text[end:]
    else:
        line_end = _line_end(text, end)
        yield text[:line_end] + "".join(newline + line for line in lines) + text[line_end:]
    for name, _ in reversed(mapping.value):
        start = name.start_mark.index - first_column
        yield text[:start] + "".join(line + newline for line in lines) + text[start:]


def _flow_insertions(
    text: str, mapping: MappingNode, last: Node | None, nested: dict[str, Any]
) -> Iterator[str]:
    written = _written(nested)[-1][1:-1]
    if last is None:
        start = text.index("{", mapping.start_mark.index) + 1
        yield text[:start] + written + text[start:]
        return
    end = _end(last)
    yield f"{text[:end]}, {written}{text[end:]}"


def _lines(keys: list[str], value: Value, indent: str, step: str) -> list[str]:
    if len(keys) == 1:
        style = '"' if keys[0] == "cron" else None
        return [f"{indent}{keys[0]}: {_written(value, style)[0]}"]
    return [f"{indent}{keys[0]}:", *_lines(keys[1:], value, indent + step, step)]


def _step(root: MappingNode) -> str:
    """Return the indentation of the first nested mapping."""
    for name, node in root.value:
        if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
            return " " * int(node.value[0][0].start_mark.column - name.start_mark.column)
    return "  "


def _end(node: Node) -> int:
    """Return the end of a value, before the comments and blank lines after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_end(text: str, start: int) -> int:
    found = re.compile(r"[^\r\n]*").match(text, start)
    return found.end() if found else start
