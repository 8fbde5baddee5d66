"""How far a run's log was read, as a cursor that each answer gives for the next question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

from basecamp.airflow.gateway import WrongCursor
from basecamp.shared.cursors import decode_cursor, encode_cursor

START = "start"
"""The cursor of a log's first line."""

REMEMBERED = 32
"""How many lines a cursor remembers: Airflow sorts by time, so that a late line may come before some of them."""

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class LogCursor:
    """How far the logs of a run's attempts were read."""

    attempt: int = 1
    """The attempt whose log goes on, or is to begin."""
    count: int = 0
    """How many lines of it were read."""
    last: tuple[str, ...] = ()
    """The marks of the last of these."""
    ended: bool = False
    """Whether the run had ended by then."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a cursor.

        Raises:
            WrongCursor: When the text is none of a log.
        """
        if text == START:
            return cls()
        kind, attempt, count, last, ended = decode_cursor(text, parts=5)
        if kind != "log" or not (_NUMBER.fullmatch(attempt) and _NUMBER.fullmatch(count)):
            raise WrongCursor
        return cls(max(int(attempt), 1), int(count), tuple(last.split()), bool(ended))

    def write(self) -> str:
        """Return it as text."""
        ended = "ended" if self.ended else ""
        return encode_cursor(["log", str(self.attempt), str(self.count), " ".join(self.last), ended])

    def go_on(self, lines: Sequence[str], most: int) -> tuple[list[str], Self]:
        """Return the lines of the attempt that were not read, at most so many, and the cursor after them.

        A log that has become shorter is one that Airflow can't reach at the moment: there is nothing new in it.
        """
        if len(lines) < self.count:
            return [], self
        new = self._new(lines)
        after = len(lines) if len(new) <= most else new[most]
        last = tuple(_mark(line) for line in lines[max(after - REMEMBERED, 0) : after])
        return [lines[number] for number in new[:most]], replace(self, count=after, last=last)

    def _new(self, lines: Sequence[str]) -> Sequence[int]:
        begin = max(self.count - len(self.last), 0)
        marks = [_mark(line) for line in lines[begin : self.count]]
        if tuple(marks) == self.last:
            return range(self.count, len(lines))
        read = Counter(self.last)
        new = []
        for number in range(begin, len(lines)):
            mark = _mark(lines[number]) if read.total() else ""
            if read[mark]:
                read[mark] -= 1
            else:
                new.append(number)
        return new


def _mark(line: str) -> str:
    return blake2b(line.encode(errors="replace"), digest_size=4).hexdigest()
