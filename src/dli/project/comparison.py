"""Compare a dataset's versions: which are the same, and how the others differ."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.models import DatasetVersions, SpecVersion

LOCAL, MANUAL, CODE, AIRFLOW = "local", "manual", "code", "airflow"
_BASES = (AIRFLOW, CODE, MANUAL)
"""The base of the differences: the first of these with a known text."""
MAX_COMPARED = 1024 * 1024
"""Number of letters of two versions of a file above which they are not compared line by line."""
_SHOWN = 8
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_NO_NEWLINE = "\\ No newline at end of file"


class SpecText(Protocol):
    """The content of one version of a spec."""

    @property
    def file(self) -> str | None:
        """The YAML's path or key."""
        ...

    @property
    def spec_hash(self) -> str | None:
        """The version's hash; None for a file that can't be used."""
        ...

    @property
    def yaml(self) -> str | None:
        """The YAML; None if it is not known."""
        ...

    @property
    def files(self) -> Mapping[str, str]:
        """The SQL by the path in the spec."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of one file between two versions."""

    base: str
    other: str
    file: str
    """The path of a SQL file, or ``YAML``."""
    lines: tuple[str, ...]
    """A unified diff."""

    def to_json(self) -> dict[str, str]:
        """Return the difference for ``--format json``."""
        text = "\n".join(self.lines) + "\n"
        return {"from": self.base, "to": self.other, "file": self.file, "diff": text}


class Comparison:
    """A dataset's versions side by side.

    Args:
        name: The dataset.
        local: The project's version.
        versions: The server's versions.
    """

    def __init__(self, name: str, local: SpecVersion | None, versions: DatasetVersions) -> None:
        self.name = name
        self.versions = versions
        self._local = local

    def at(self, place: str) -> SpecVersion | None:
        """Return the version at a place."""
        if place == LOCAL:
            return self._local
        found: SpecVersion | None = getattr(self.versions, place)
        return found

    @property
    def _present(self) -> dict[str, SpecVersion]:
        places = (LOCAL, MANUAL, CODE, AIRFLOW)
        return {place: version for place in places if (version := self.at(place)) is not None}

    @cached_property
    def same(self) -> list[list[str]]:
        """The places, grouped by version."""
        groups: dict[str, list[str]] = {}
        for place, version in self._present.items():
            groups.setdefault(version.spec_hash or f"broken in {place}", []).append(place)
        return list(groups.values())

    @property
    def differ(self) -> bool:
        """Whether there is more than one version."""
        return len(self.same) > 1

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield a row for each place: version, file and note."""
        for place in (LOCAL, MANUAL, CODE, AIRFLOW):
            version = self.at(place)
            if version is None:
                yield place, "-", "-", self._why_absent(place)
            else:
                yield place, (version.spec_hash or "-")[:_SHOWN], version.file, self._note(place, version)

    def _why_absent(self, place: str) -> str:
        if place == LOCAL:
            return "not in this project"
        return "not loaded" if place == AIRFLOW else "not registered"

    def _note(self, place: str, version: SpecVersion) -> str:
        others = [other for group in self.same if place in group for other in group if other != place]
        overridden = place == MANUAL and self.versions.code is not None
        notes = [
            f"invalid: {version.error.splitlines()[0]}" if version.error else "",
            "overridden by code" if overridden else "",
            f"same as {', '.join(others)}" if others else "",
            "its text is no longer kept" if version.yaml is None else "",
        ]
        return "; ".join(note for note in notes if note)

    def differences(self) -> Iterator[Difference]:
        """Yield the differences of the other versions from the one that Airflow runs, by file."""
        readable = {place: version for place, version in self._present.items() if version.yaml is not None}
        base = next((place for place in _BASES if place in readable), None)
        if base is None:
            return
        seen = [readable[base]]
        for place in (CODE, MANUAL, LOCAL):
            version = readable.get(place)
            if version is None or any(_is_same(version, other) for other in seen):
                continue
            seen.append(version)
            yield from differences_between((base, readable[base]), (place, version))


def _is_same(one: SpecVersion, other: SpecVersion) -> bool:
    return (one.yaml, one.files) == (other.yaml, other.files)


def differences_between(base: tuple[str, SpecText], other: tuple[str, SpecText]) -> Iterator[Difference]:
    """Yield the differences of one version from another, by file; each version comes with its name or place."""
    (base_place, old), (place, new) = base, other
    texts = [("YAML", old.yaml or "", new.yaml or "")]
    texts += [
        (path, old.files.get(path, ""), new.files.get(path, "")) for path in sorted({*old.files, *new.files})
    ]
    for file, before, after in texts:
        if before != after:
            headed = (f"{base_place}: {_called(file, old)}", f"{place}: {_called(file, new)}")
            yield Difference(base_place, place, file, tuple(_lines(before, after, headed)))


def _called(file: str, version: SpecText) -> str:
    if file == "YAML":
        return version.file or "(unknown)"
    return file if file in version.files else "(none)"


def _lines(before: str, after: str, headed: tuple[str, str]) -> Iterator[str]:
    """Yield a unified diff without control characters; a carriage return is shown as ``^M``."""
    if len(before) + len(after) > MAX_COMPARED:
        yield from (f"--- {headed[0]}", f"+++ {headed[1]}", "(too large to be compared line by line)")
        return
    old, new = _LINE.findall(before), _LINE.findall(after)
    for line in difflib.unified_diff(old, new, *headed, lineterm="\n"):
        text = line.removesuffix("\n")
        yield "".join(letter if letter.isprintable() or letter == "\t" else _shown(letter) for letter in text)
        if text == line:
            yield _NO_NEWLINE


def _shown(letter: str) -> str:
    return "^M" if letter == "\r" else " "
