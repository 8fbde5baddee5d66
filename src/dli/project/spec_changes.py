"""Compare two versions of a spec by the keys of the YAML and by lines of SQL.

No value is shown: a value may be a secret, such as a webhook's URL, and the output ends up in a pipeline's log.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dataspec.errors import InvalidSpec
from dataspec.spec.yaml_reader import read_document
from dli.project.comparison import MAX_COMPARED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

YAML = "YAML"
"""Stands for the whole YAML where its keys can't be compared."""

KeyChange = Literal["changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class LineCount:
    """How many lines of a text differ."""

    added: int
    removed: int

    def __str__(self) -> str:
        counts = [(self.added, "added"), (self.removed, "removed")]
        (first, word), *rest = [counted for counted in counts if counted[0]] or counts[:1]
        texts = [
            f"{first} line{'' if first == 1 else 's'} {word}",
            *(f"{count} {what}" for count, what in rest),
        ]
        return ", ".join(texts)


@dataclass(frozen=True, slots=True)
class SpecChanges:
    """What differs between two versions of a spec."""

    keys: Mapping[str, KeyChange] = field(default_factory=dict)
    """The keys of the YAML, with dots: ``schedule.cron``, ``parameters.limit.default``."""
    lines: Mapping[str, LineCount] = field(default_factory=dict)
    """The SQL files, and the keys of the YAML with SQL or other text of several lines."""
    is_layout_alone: bool = False
    """Whether the YAML's bytes differ in comments and layout alone."""

    def to_json(self) -> dict[str, Any]:
        """Return the changes for ``--format json``."""
        lines = {path: {"added": count.added, "removed": count.removed} for path, count in self.lines.items()}
        return {"keys": dict(self.keys), "lines": lines}

    def described(self) -> Iterator[str]:
        """Yield the changes as lines of text."""
        for change in ("changed", "added", "removed"):
            keys = [key for key, what in self.keys.items() if what == change and key not in self.lines]
            if keys:
                yield f"{change}: {', '.join(keys)}"
        for path, count in self.lines.items():
            yield f"{path}: {count}"
        if self.is_layout_alone:
            yield "YAML: comments or layout alone"


def changes_between(
    old_yaml: str, old_files: Mapping[str, str], new_yaml: str, new_files: Mapping[str, str]
) -> SpecChanges:
    """Compare two versions of a spec, valid or not."""
    keys, lines = changed_keys(old_yaml, new_yaml)
    files = {
        path: _count(old_files.get(path, ""), new_files.get(path, ""))
        for path in sorted({*old_files, *new_files})
        if old_files.get(path) != new_files.get(path)
    }
    return SpecChanges(keys, {**lines, **files}, old_yaml != new_yaml and not keys and not lines)


def changed_keys(old: str, new: str) -> tuple[dict[str, KeyChange], dict[str, LineCount]]:
    """Return the keys that differ between two YAML texts, and the counts of texts of several lines among them."""
    if old == new:
        return {}, {}
    try:
        before, after = (dict(_flat(read_document(text.encode(), "").data)) for text in (old, new))
    except InvalidSpec:
        return {}, {YAML: _count(old, new)}
    keys: dict[str, KeyChange] = {}
    lines: dict[str, LineCount] = {}
    for key in [*after, *(key for key in before if key not in after)]:
        was, now = before.get(key), after.get(key)
        if key in before and key in after and was == now:
            continue
        keys[key] = "changed" if key in before and key in after else "added" if key in after else "removed"
        if any(isinstance(value, str) and "\n" in value.strip() for value in (was, now)):
            lines[key] = _count(was if isinstance(was, str) else "", now if isinstance(now, str) else "")
    return keys, lines


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a YAML by their keys; the items of a list by their names, if all have one."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif (
        isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value)
    ):
        items = [(item["name"], {k: v for k, v in item.items() if k != "name"} or True) for item in value]
    if not items:
        yield key, value
    for part, inner in items:
        yield from _flat(inner, f"{key}.{_printable(part)}" if key else _printable(part))


def _printable(part: Any) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(part))


def _count(old: str, new: str) -> LineCount:
    if len(old) + len(new) > MAX_COMPARED:  # a seed: the order of its lines says nothing
        before, after = Counter(old.splitlines()), Counter(new.splitlines())
        return LineCount((after - before).total(), (before - after).total())
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return LineCount(len(new.splitlines()) - same, len(old.splitlines()) - same)
