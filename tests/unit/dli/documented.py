"""Terminal sessions in the documentation: what was typed, and what came out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(r"^```console\n(?P<session>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Typed:
    """A command in the documentation, and its output there."""

    command: str
    output: str


def sessions(page: Path) -> Iterator[Typed]:
    """Yield every command of a page's sessions, in their order."""
    for block in _BLOCK.finditer(page.read_text()):
        for part in re.split(r"^\$ ", block["session"], flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Typed(command, output)
