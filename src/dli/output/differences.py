"""Show what differs between two versions of a spec."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from dli.output.tables import in_colour
from dli.output.versions import DIGITS
from dli.project.comparison import differences_between
from dli.project.spec_changes import changes_between

if TYPE_CHECKING:
    from dli.project.comparison import Difference, SpecText
    from dli.project.spec_changes import SpecChanges

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class VersionDiff:
    """What changed from one version of a dataset to another.

    Args:
        name: The dataset.
        old: The version before.
        new: The version after.
    """

    def __init__(self, name: str, old: SpecText, new: SpecText) -> None:
        self._name = name
        self._old = old
        self._new = new

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return (self._old.yaml, self._old.files) == (self._new.yaml, self._new.files)

    @cached_property
    def changes(self) -> SpecChanges:
        """The keys and the lines of SQL that differ."""
        return changes_between(self._old.yaml or "", self._old.files, self._new.yaml or "", self._new.files)

    @cached_property
    def _differences(self) -> list[Difference]:
        return list(differences_between((_short(self._old), self._old), (_short(self._new), self._new)))

    def to_json(self) -> dict[str, Any]:
        """Return the comparison for ``--format json``."""
        return {
            "name": self._name,
            "from": self._old,
            "to": self._new,
            "same": self.is_same,
            **self.changes.to_json(),
            "differences": [difference.to_json() for difference in self._differences],
        }

    def show(self) -> None:
        """Print the keys that differ, then the lines."""
        if self.is_same:
            click.echo(f"Nothing differs: both are {_short(self._old)}.")
            return
        click.echo(f"From {_short(self._old)} to {_short(self._new)}:")
        for line in self.changes.described():
            click.echo(f"  {line}")
        self.show_lines()

    def show_lines(self, *, err: bool = False) -> None:
        """Print the lines that differ, by file; to standard error if ``err``."""
        for difference in self._differences:
            print_difference(difference, err=err)


def _short(version: SpecText) -> str:
    """Return the first digits of a version's hash; a file that can't be used has none."""
    return version.spec_hash[:DIGITS] if version.spec_hash else "(invalid)"


def print_difference(difference: Difference, *, err: bool = False) -> None:
    """Print a unified diff, in colours on a terminal."""
    click.echo("\n" + "\n".join(map(str if err else _painted, difference.lines)), err=err)


def _painted(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    return click.style(line, fg=colour) if colour and in_colour() else line
