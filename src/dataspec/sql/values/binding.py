"""Bind values into SQL: write each as its place demands, as data and never as SQL (specification 9.3).

A slot is one ``{{ … }}`` of one rendering. The template is rendered with a placeholder for each value.
:meth:`Slots.fill` then replaces the placeholders, and proves that the SQL has the same tokens, and so the same
statements, as with the placeholders. Example: in ``where d = 'q1a2…x0z'`` the placeholder is inside a string, so
the value is escaped for that string.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlglot.tokens import Token as FoundToken
from sqlglot.tokens import TokenType

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem
from dataspec.sql.parser import is_name
from dataspec.sql.tokens import Token, find_tokens
from dataspec.sql.values.budget import Budget, BudgetError
from dataspec.sql.values.context import Reading, is_executed, reading_of, why_unclear, with_own_escape
from dataspec.sql.values.marked_text import SqlName, TableName, TemplateText
from dataspec.sql.values.quoting import Quoting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SLOT = re.compile(r"q[0-9a-f]{16}x[0-9]+z")
"""A placeholder: a random nonce of the rendering, and the number of its slot."""
_STRING = TokenType.STRING
_WORD = re.compile(r"[A-Za-z0-9_]*")
_HARMLESS = re.compile(r"[A-Za-z0-9_ .:/+-]*")
_UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
_CONTINUED = (
    "it goes on with the string before it, where a backslash may mean another thing; write them as one."
)
_Kind: TypeAlias = "tuple[TokenType, str | None]"
"""What a token must be read as: its kind, and the text of a quoted one."""
STEPS_OF_A_VALUE = 20
"""Number of steps of the budget that each value costs."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One value and its place in the template."""

    value: Any
    line: int
    column: int
    source: str
    """The parameter in the expression; empty for a constant."""
    place: str | None = None
    """The place in another file of the project, such as a macro file; the line and column are those of its use."""

    @property
    def text(self) -> str:
        """The value as text, unescaped."""
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)


@dataclass(frozen=True, slots=True)
class WrittenName:
    """A name in the SQL that contains a value."""

    name: str
    """The name as rendered, such as ``events_2024``."""
    template: str
    """The name in the template, such as ``events_{{ year }}``."""
    sources: frozenset[str]
    """The parameters in the name."""


class Slots:
    """The slots of one rendering."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._nonce = secrets.token_hex(8)
        self._slots: dict[str, Slot] = {}
        """The slots by their placeholders, in the order in which they were taken."""
        self._introducers: set[str] = set()
        """The placeholders of names that a string may follow as its character set, such as ``_utf8``."""
        self.budget = Budget()
        """The budget of this rendering."""
        self.use: tuple[int, int] = (1, 1)
        """The line and column of the template that uses another file of the project now."""
        self.names: list[WrittenName] = []
        """The names that contain values; set by :meth:`fill`."""
        self.tokens: Sequence[FoundToken] | None = None
        """The tokens of the filled text; None for a text without slots."""

    def take(self, value: Any, line: int, column: int, source: str, place: str | None = None) -> str:
        """Return the placeholder of a value.

        Args:
            value: The value.
            line: The line of its ``{{ … }}``.
            column: The column of its ``{{ … }}``.
            source: The name in the expression; empty for a constant.
            place: The place in another file of the project that has the value or its ``{{ … }}``, such as a macro file;
                the line and column are then those of its use. None for the template itself.

        Raises:
            InvalidTemplate: For text that was made of placeholders, by joining or changing them.
        """
        slot = Slot(value, line, column, source, place)
        try:
            self.budget.take(value)
            self.budget.take_steps(STEPS_OF_A_VALUE)
        except BudgetError as error:
            raise self._refused(slot, str(error), error.hint) from None
        if isinstance(value, TemplateText):
            return value
        words = _text_in(value)
        if unwritable := _UNWRITABLE.search(words):
            raise self._refused(slot, f"it holds U+{ord(unwritable[0]):04X}, which SQL can't hold.")
        if self._nonce in words.lower():
            message = "a block's text that holds values was changed or joined with others."
            raise self._refused(slot, message, "Write each by itself: {{ one }}{{ other }}.")
        placeholder = f"q{self._nonce}x{len(self._slots)}z"
        self._slots[placeholder] = slot
        if isinstance(value, SqlName) and value.startswith("_"):
            self._introducers.add(placeholder)
        return placeholder

    def fill(self, text: str, dialect: str | None, *, unsettled: bool = False) -> str:
        """Replace every placeholder by its value.

        Args:
            text: The SQL, with the placeholders.
            dialect: The SQL dialect, by sqlglot's name; None where it is unknown.
            unsettled: Whether a session setting may change how the engine reads strings.

        Raises:
            InvalidTemplate: When a value does not fit its place, a quote is not closed, or engines
                may differ in where the quotes end.
        """
        if not self._slots:
            return text
        tokens = self._tokens_of(text, dialect, unsettled=unsettled)
        quoting = Quoting.of(dialect, unsettled=unsettled)
        escaped = with_own_escape(text, tokens)
        pieces: list[str] = []
        expected: list[_Kind] = []
        end = 0
        ahead = text.find(self._nonce)
        for index, found in enumerate(tokens):
            if 0 <= ahead <= found.end and self._nonce in (token := Token.of(found, text)).source:
                gap = text[end : token.start]
                pieces.append(self._in_comment(gap) if self._nonce in gap else gap)
                reading = reading_of(text, tokens, index, self._introducers)
                piece, kinds = self._in_token(
                    token, quoting, Reading.ESCAPED if index in escaped else reading
                )
                pieces.append(piece)
                expected += kinds
                end = token.end
                ahead = text.find(self._nonce, end)
            else:  # copied with the text around it
                expected.append((found.token_type, None))
        rest = text[end:]
        pieces.append(self._in_comment(rest) if self._nonce in rest else rest)
        written = "".join(pieces)
        if what := quoting.why_read(written, text, self._nonce):
            raise self._refused(self._likely_slot(), f"{what} on the engine, also within quotes.")
        return self._proved(written, expected, dialect)

    def _tokens_of(self, text: str, dialect: str | None, *, unsettled: bool) -> list[FoundToken]:
        try:
            tokens = find_tokens(text, dialect)
        except ValueError as error:
            raise InvalidTemplate(Problem(self._without_placeholders(str(error)), self._file)) from None
        if reason := why_unclear(text, tokens, dialect, unsettled=unsettled, word=self._nonce):
            first = next(iter(self._slots.values()))
            hint = "Name the engine's SQL under 'execution.dialect'." if dialect is None else None
            raise self._refused(first, f"engines differ in how they read its place: {reason}", hint)
        return tokens

    def _in_token(self, token: Token, quoting: Quoting, reading: Reading) -> tuple[str, list[_Kind]]:
        """Return a token with its values, and the tokens that this text must be read as."""
        if reading is Reading.ESCAPED:
            first = next(self._slots_in(token.source))
            raise self._refused(first, "no value can stand in quotes with UESCAPE.")
        if reading is Reading.CONTINUED:
            quoting = quoting.without_backslash(_CONTINUED)
        if (slot := self._slots.get(token.source)) is not None:
            if isinstance(slot.value, SqlName):
                self._note_name(slot.value, token.source)
            piece = self._bare(slot, quoting, reading)
            return piece, [(kind, None) for kind in _kinds_in(piece, quoting.dialect)]
        quote = None if reading is Reading.PREFIXED else quoting.quote_of(token)
        piece = self._written(token.source, lambda slot: self._inside(slot, quote, quoting))
        unescaped = self._written(token.text, lambda slot: slot.text)
        if token.kind is not _STRING:
            self._note_name(unescaped, token.text)
        return piece, [(token.kind, unescaped)]

    def _note_name(self, name: str, text: str) -> None:
        sources = frozenset(slot.source for slot in self._slots_in(text))
        self.names.append(WrittenName(name, self._without_placeholders(text), sources))

    def _bare(self, slot: Slot, quoting: Quoting, reading: Reading) -> str:
        if isinstance(slot.value, TableName):
            return quoting.table(slot.value)
        if isinstance(slot.value, SqlName):
            if not is_name(slot.value, quoting.dialect):
                raise self._refused(slot, f"'{slot.value}' is a word of SQL there, not a name.")
            return str(slot.value)
        if isinstance(slot.value, str):
            name = slot.source or "value"
            message = f"the text {slot.value!r} is not in quotes, so it would be SQL."
            raise self._refused(
                slot, message, f"Write '{{{{ {name} }}}}', or {{{{ {name} | identifier }}}} for a name."
            )
        if reading is Reading.GLUED or (
            reading is Reading.PREFIXED and not _WORD.fullmatch(_text_in(slot.value))
        ):
            raise self._refused(slot, "the text right before it would change how it is read.")
        try:
            return quoting.literal(slot.value)
        except ValueError as error:
            raise self._refused(slot, f"{str(error).rstrip('.')}.") from None

    def _inside(self, slot: Slot, quote: str | None, quoting: Quoting) -> str:
        if slot.value is None or isinstance(slot.value, list | tuple | dict):
            what = "no value" if slot.value is None else "a list"
            raise self._refused(slot, f"there is {what} to put inside the quotes.", "Use {% if %} around it.")
        if quote is not None:
            try:
                return quoting.escape(slot.text, quote)
            except ValueError as error:
                raise self._refused(slot, str(error)) from None
        if _WORD.fullmatch(slot.text):
            return slot.text
        raise self._refused(
            slot, f"{slot.text!r} would change the SQL around it; only A-Z, a-z, 0-9 and '_' may stand here."
        )

    def _in_comment(self, gap: str) -> str:
        executed = is_executed(gap)

        def written(slot: Slot) -> str:
            text = str(slot.value)
            if executed or not _HARMLESS.fullmatch(text):
                raise self._refused(slot, f"{text!r} can't stand in a comment.")
            return text

        filled = self._written(gap, written)
        if any(filled.count(mark) != gap.count(mark) for mark in ("/*", "*/")):
            slot = next(self._slots_in(gap))
            raise self._refused(slot, f"{slot.value!r} can't stand beside a '*' of a comment.")
        return filled

    def _proved(self, text: str, expected: list[_Kind], dialect: str | None) -> str:
        try:
            tokens = find_tokens(text, dialect)
        except ValueError:
            tokens = []
        same = len(tokens) == len(expected) and all(
            found.token_type is kind and (unescaped is None or found.text == unescaped)
            for found, (kind, unescaped) in zip(tokens, expected, strict=True)
        )
        if not same:
            raise self._refused(self._likely_slot(), "a value would change what statements the SQL holds.")
        self.tokens = tokens
        return text

    def _likely_slot(self) -> Slot:
        """Return the slot that most likely caused an error of the whole text."""
        slots = [*self._slots.values()]
        return next((slot for slot in slots if isinstance(slot.value, str | list)), slots[0])

    def _slots_in(self, text: str) -> Iterator[Slot]:
        return (self._slots[word] for word in _SLOT.findall(text) if word in self._slots)

    def _written(self, text: str, written: Callable[[Slot], str]) -> str:
        """Return a text with each placeholder replaced."""

        def of_match(match: re.Match[str]) -> str:
            slot = self._slots.get(match[0])
            return match[0] if slot is None else written(slot)

        return _SLOT.sub(of_match, text)

    def _without_placeholders(self, message: str) -> str:
        return self._written(message, lambda slot: f"{{{{ {slot.source} }}}}")

    def _refused(self, slot: Slot, message: str, hint: str | None = None) -> InvalidTemplate:
        named = f"{slot.place}: " if slot.place else ""
        named += f"'{slot.source}': " if slot.source else ""
        return InvalidTemplate(Problem(f"{named}{message}", self._file, slot.line, slot.column, hint))


@lru_cache(maxsize=256)
def _kinds_in(piece: str, dialect: str | None) -> tuple[TokenType, ...]:
    return tuple(found.token_type for found in find_tokens(piece, dialect))


def _text_in(value: Any) -> str:
    """Return all text in a value, including the items of a list."""
    if isinstance(value, dict):
        return _text_in([*value, *value.values()])
    if isinstance(value, list | tuple):
        return " ".join(map(_text_in, value))
    return value if isinstance(value, str) else ""
