"""What a dbt project is turned into, on the way to files, and what is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.problems import Problem
    from dli.dbt.source.project import Node
    from dli.dbt.specs import TurnedSpec
    from dli.dbt.sql.shared_macros import SharedMacros
    from dli.dbt.sql.templates import Translated


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user chose for an import."""

    schema: str | None = None
    owner: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    """The name of dbt's target."""


@dataclass(kw_only=True)
class Dataset:
    """A dataset on the way to its files."""

    turned: TurnedSpec
    translated: Translated
    ways: list[Translated] = field(default_factory=list)
    """Further translations of its SQL."""
    checks: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, None] = field(default_factory=dict)
    """The tables that its checks read."""
    tests: list[dict[str, Any]] = field(default_factory=list)
    materialization: Any = "table"
    seed: str | None = None
    """The text of its seed."""
    seed_name: str = ""
    described: list[dict[str, Any]] = field(default_factory=list)
    """The columns that dbt describes."""
    columns: list[dict[str, Any]] = field(default_factory=list)
    """The key ``schema``: all columns, once they are known."""
    head: dict[str, Any] = field(default_factory=dict)
    parameters: list[dict[str, Any]] = field(default_factory=list)
    statements: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, str] = field(default_factory=dict)

    @property
    def node(self) -> Node:
        """The node of dbt."""
        return self.turned.node

    @property
    def folder(self) -> str:
        """The folder of its files within the folder of specs, with a slash; empty for that folder."""
        folder = self.node.path.parent.relative_to(self.node.folder).as_posix()
        return "" if folder == "." else f"{folder}/"


@dataclass(kw_only=True)
class Outcome:
    """What became of a dbt project."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    """By name."""
    found: Counter[str] = field(default_factory=Counter)
    """How many things there were of each kind."""
    lost: Counter[str] = field(default_factory=Counter)
    """How many of them became nothing."""
    problems: list[Problem] = field(default_factory=list)
    shared: SharedMacros | None = None
    called: set[str] = field(default_factory=set)
    """The macros of the project that its SQL called."""

    def lose(self, kind: str, problem: Problem) -> None:
        """Note that something became nothing."""
        self.lost[kind] += 1
        self.problems.append(problem)
