"""Read untrusted YAML, with the line and column of every key and value (specification 2.19).

The data is built from the C parser's events. Duplicate keys, tags, aliases, several documents, deep nesting and
too many values are refused. Only ``true`` and ``false`` are booleans, and dates stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from dataspec.errors import InvalidSpec
from dataspec.problems import Problem
from dataspec.spec.yaml_errors import explain, in_quotes, value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.events import Event

MAX_YAML_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000

Path = tuple[str | int, ...]
Place = tuple[int, int]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = {"", "~", "null", "Null", "NULL"}
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document's data, and the place of each part."""

    file: str
    data: Any
    values: dict[Path, Place] = field(repr=False)
    keys: dict[Path, Place] = field(repr=False)
    text: str = field(repr=False)

    def position(self, path: Path) -> Place:
        """Return line and column (from 1) of the value at a path, or of the nearest enclosing value."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def key_position(self, path: Path) -> Place:
        """Return line and column (from 1) of the key at a path."""
        return self.keys.get(path) or self.position(path)

    def problem(self, path: Path, message: str, *, hint: str | None = None, at_key: bool = False) -> Problem:
        """Return a problem at the place of a path."""
        line, column = self.key_position(path) if at_key else self.position(path)
        return Problem(message, self.file, line, column, hint)


def read_document(body: bytes, file: str) -> Document:
    """Read one YAML document.

    Args:
        body: The file's bytes, in UTF-8.
        file: The file's name, for problems.

    Raises:
        InvalidSpec: With the first problem, and its place.
    """
    if len(body) > MAX_YAML_BYTES:
        size, limit = len(body) // 1024, MAX_YAML_BYTES // 1024
        raise _stop(file, f"the file has {size:,} KiB; a spec may have {limit} KiB at most.")
    text = _decoded(body, file)
    reader = _Reader(text, file)
    try:
        data = reader.read()
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, text, file) from None
    except yaml.reader.ReaderError as error:
        place = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        raise _stop(file, f"the character U+{error.character:04X} is not allowed in YAML.", place) from None
    return Document(file, data, reader.values, reader.keys, text)


def _decoded(body: bytes, file: str) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = body[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        message = f"the byte 0x{body[error.start]:02x} is not UTF-8; save the file as UTF-8."
        raise InvalidSpec([Problem(message, file, line, column)]) from None


def _unreadable(error: yaml.MarkedYAMLError, text: str, file: str) -> InvalidSpec:
    return InvalidSpec([explain(error, text, file)])


def _stop(file: str, message: str, place: Place = (1, 1)) -> InvalidSpec:
    return InvalidSpec([Problem(message, file, *place)])


class _Reader:
    """Builds plain data from the parser's events, and records every place."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.values: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}
        self.nodes = 0
        self.anchor: Problem | None = None
        """The first anchor; an alias to it is told first."""

    def read(self) -> Any:
        events = yaml.parse(self.text, Loader=_Loader)
        next(events)  # the stream's start
        if isinstance(first := next(events), yaml.StreamEndEvent):
            raise _stop(self.file, "the file is empty.", self._place(first))
        data = self._node(next(events), events, (), 0)
        next(events)  # the document's end
        if not isinstance(after := next(events), yaml.StreamEndEvent):
            raise _stop(self.file, "a file must contain one document.", self._place(after))
        if self.anchor:
            raise InvalidSpec([self.anchor])
        return data

    def _node(self, event: Event, events: Iterator[Event], path: Path, depth: int) -> Any:
        place = self._place(event)
        self.values[path] = place
        self._count(depth, place)
        self._check_marks(event)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path, depth)
        return self._mapping(events, path, depth)

    def _sequence(self, events: Iterator[Event], path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, events: Iterator[Event], path: Path, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            place = self._place(event)
            self._check_marks(event)
            if not isinstance(event, yaml.ScalarEvent):
                hint = "Put a value that begins with '{' in quotes."
                raise InvalidSpec([Problem("a key must be plain text.", self.file, *place, hint)])
            key = event.value
            if key in mapping:
                first = self.keys[(*path, key)][0]
                raise _stop(self.file, f"the key '{key}' is defined twice; first in line {first}.", place)
            self.keys[(*path, key)] = place
            mapping[key] = self._node(next(events), events, (*path, key), depth + 1)
        return mapping

    def _check_marks(self, event: Event) -> None:
        """Refuse an alias and a tag, and in a text without quotes whatever YAML takes as a mark of its own."""
        if isinstance(event, yaml.AliasEvent):
            message = f"aliases are not allowed (*{event.anchor}); write the value out."
            raise InvalidSpec([self._marked(event, message)])
        tag, is_bare = getattr(event, "tag", None), isinstance(event, yaml.ScalarEvent) and not event.style
        if tag is not None and (is_bare or tag != "!"):
            raise InvalidSpec([self._marked(event, f"tags are not allowed ({tag}).")])
        if isinstance(event, yaml.ScalarEvent):
            self._check_text(event)

    def _check_text(self, event: yaml.ScalarEvent) -> None:
        if not event.style and event.anchor is not None and self.anchor is None:
            self.anchor = self._marked(event, f"anchors are not allowed (&{event.anchor}).")
        if event.style in {"|", ">"} and not event.value and re.search(r"\d", self._written(event)):
            raise InvalidSpec([self._marked(event, "the text after '|' or '>' begins in the next line.")])

    def _written(self, event: Event) -> str:
        line, column = self._place(event)
        return value_at(self.text, line - 1, column - 1)

    def _marked(self, event: Event, message: str) -> Problem:
        written = self._written(event)
        is_text = isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent))
        hint = in_quotes(written) if is_text else f"Remove '{written.partition(' ')[0]}'."
        return Problem(message, self.file, *self._place(event), hint)

    def _count(self, depth: int, place: Place) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise _stop(self.file, f"nested deeper than {MAX_DEPTH} levels.", place)
        if self.nodes > MAX_NODES:
            raise _stop(self.file, f"more than {MAX_NODES:,} values.", place)

    @staticmethod
    def _place(event: Event) -> Place:
        mark = event.start_mark
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.style is not None and event.style != "":
        return text
    if text in _NULLS:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
