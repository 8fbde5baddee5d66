"""Read the files of a dbt project and of its installed packages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from dataspec.errors import NotFound
from dataspec.problems import Problem
from dli.dbt.source.properties import Placed, UnreadableFile, entries, read_yaml, texts
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT_FILE = "dbt_project.yml"
MAX_SQL_BYTES = 1024 * 1024
_DOCS = re.compile(r"\{%-?\s*docs\s+(\w+)\s*-?%\}(.*?)\{%-?\s*enddocs\s*-?%\}", re.DOTALL)
_FOLDERS = {
    "model": ("model-paths", "source-paths", ["models"]),
    "seed": ("seed-paths", "data-paths", ["seeds"]),
    "test": ("test-paths", "", ["tests"]),
    "macro": ("macro-paths", "", ["macros"]),
    "snapshot": ("snapshot-paths", "", ["snapshots"]),
}
"""The key of each kind's folders, its old name, and the default."""
UNTURNED = ("snapshots", "exposures", "semantic_models", "metrics", "saved_queries")
"""The entries of YAML files that have no counterpart in a Dataset Spec."""

Kind = Literal["model", "seed", "test"]


@dataclass(frozen=True, kw_only=True)
class Package:
    """The project, or a package of it."""

    name: str
    root: Path
    settings: Placed = field(repr=False)

    def folders(self, kind: str) -> list[Path]:
        """Return the folders with the files of a kind."""
        key, old, default = _FOLDERS[kind]
        return [self.root / name for name in texts(self.settings.get(key, self.settings.get(old, default)))]

    def files(self, kind: str, *suffixes: str) -> Iterator[tuple[Path, Path]]:
        """Yield the files of a kind, each with the folder that it counts from."""
        for folder in self.folders(kind):
            for path in sorted(folder.rglob("*")):
                if path.suffix in suffixes and path.is_file():
                    yield folder, path


@dataclass(kw_only=True)
class Node:
    """A model, a seed or a test in a SQL file."""

    kind: Kind
    package: Package
    name: str
    """Its name in dbt, without a version."""
    version: str = ""
    path: Path
    folder: Path
    """The folder of the models that it counts from."""
    text: str = field(repr=False)
    properties: Placed = field(default_factory=Placed, repr=False)
    """Its entry in a YAML file."""
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    """Its configuration, resolved."""
    table: str = ""
    """The table or view that it becomes, which is the dataset's name unless it has an alias."""
    dataset: str = ""
    """The name of its dataset."""

    @cached_property
    def file(self) -> str:
        """Its path, as messages show it."""
        return shown(self.path)

    @property
    def own_name(self) -> str:
        """Its name, with the version."""
        return f"{self.name}_v{self.version}" if self.version else self.name

    @property
    def unique_id(self) -> str:
        """Its key in dbt's manifest."""
        version = f".v{self.version}" if self.version else ""
        return f"{self.kind}.{self.package.name}.{self.name}{version}"

    def problem(self, message: str, *, line: int = 1, hint: str | None = None) -> Problem:
        """Return a warning at a line of its file."""
        return Problem(message, self.file, line, 1, hint, "warning")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table that others load."""

    package: Package
    group: Placed = field(repr=False)
    entry: Placed = field(repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Its two names in ``source()``."""
        return str(self.group.get("name")), str(self.entry.get("name"))


class DbtProject:
    """The files of a dbt project.

    Args:
        root: The folder with ``dbt_project.yml``.

    Raises:
        NotFound: When there is no such file.
        InvalidSpec: When it can't be read.
    """

    def __init__(self, root: Path) -> None:
        if not (root / PROJECT_FILE).is_file():
            raise NotFound(
                f"No dbt project in {shown(root)}.",
                detail=f"It has no {PROJECT_FILE}. Give the folder that has it.",
            )
        self.problems: list[Problem] = []
        self.root = self._package(root)
        self.packages = [self.root]
        self.nodes: list[Node] = []
        self.sources: dict[tuple[str, str], Source] = {}
        self.unit_tests: list[tuple[Package, Placed]] = []
        self.macros: dict[tuple[str, str], str] = {}
        """The text of each macro file, by package and path."""
        self.docs: dict[str, str] = {}
        self.groups: dict[str, Placed] = {}
        self.untold: list[tuple[str, Placed]] = []
        """The entries of :data:`UNTURNED`."""
        self._described: dict[tuple[str, str, str], Placed] = {}
        self._read()

    @property
    def name(self) -> str:
        """The project's name."""
        return self.root.name

    def of_kind(self, kind: Kind) -> list[Node]:
        """Return the nodes of a kind."""
        return [node for node in self.nodes if node.kind == kind]

    def _package(self, root: Path) -> Package:
        try:
            settings = read_yaml(root / PROJECT_FILE)
        except UnreadableFile as error:
            self.problems.append(error.problem)
            settings = Placed()
        return Package(name=str(settings.get("name") or root.name), root=root, settings=settings)

    def _read(self) -> None:
        installed = self.root.root / str(self.root.settings.get("packages-install-path", "dbt_packages"))
        found = sorted(installed.iterdir()) if installed.is_dir() else []
        self.packages += [self._package(path) for path in found if (path / PROJECT_FILE).is_file()]
        for package in reversed(self.packages):  # the project's own entries win
            for kind in ("model", "seed", "snapshot", "test", "macro"):
                for _, path in package.files(kind, ".yml", ".yaml"):
                    self._read_properties(package, path)
                for _, path in package.files(kind, ".md"):
                    self.docs |= {match[1]: match[2].strip() for match in _DOCS.finditer(self._text(path))}
        for package in self.packages:
            self._read_nodes(package)

    def _read_properties(self, package: Package, path: Path) -> None:
        try:
            found = read_yaml(path)
        except UnreadableFile as error:
            self.problems.append(error.problem)
            return
        for key in ("models", "seeds", "data_tests", "tests"):
            for entry in entries(found.get(key)):
                self._described[
                    package.name, key.removeprefix("data_").rstrip("s"), str(entry.get("name"))
                ] = entry
        for group in entries(found.get("sources")):
            for entry in entries(group.get("tables")):
                source = Source(package=package, group=group, entry=entry)
                self.sources[source.key] = source
        self.groups |= {str(entry.get("name")): entry for entry in entries(found.get("groups"))}
        if package is self.root:
            self.unit_tests += [(package, entry) for entry in entries(found.get("unit_tests"))]
            self.untold += [(kind, entry) for kind in UNTURNED for entry in entries(found.get(kind))]

    def _read_nodes(self, package: Package) -> None:
        for folder, path in package.files("macro", ".sql"):
            self.macros[package.name, shown(path)] = self._text(path)
            del folder
        kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
            ("model", (".sql", ".py")),
            ("seed", (".csv",)),
            ("test", (".sql",)),
        )
        for kind, suffixes in kinds:
            if kind == "test" and package is not self.root:
                continue  # tests of a package's own
            for folder, path in package.files(kind, *suffixes):
                if kind == "test" and path.is_relative_to(folder / "generic"):
                    self.macros[package.name, shown(path)] = self._text(path)
                else:
                    self.nodes.append(self._node(kind, package, folder, path))
        if package is self.root:
            self.untold += [
                ("snapshots", self._placed(path)) for _, path in package.files("snapshot", ".sql")
            ]

    def _node(self, kind: Kind, package: Package, folder: Path, path: Path) -> Node:
        node = Node(
            kind=kind, package=package, name=path.stem, path=path, folder=folder, text=self._text(path)
        )
        entry = self._described.get((package.name, kind, node.name))
        if entry is None and (versioned := self._version_of(package, path.stem)):
            entry, node.name, node.version = versioned
        node.properties = entry if entry is not None else Placed()
        return node

    def _version_of(self, package: Package, stem: str) -> tuple[Placed, str, str] | None:
        """Return the entry, name and version of a model's file with a version."""
        for (owner, kind, name), entry in self._described.items():
            if owner == package.name and kind == "model" and stem.startswith(name):
                for version in entries(entry.get("versions")):
                    number = str(version.get("v"))
                    if stem in {f"{name}_v{number}", str(version.get("defined_in"))}:
                        return entry, name, number
        return None

    def _placed(self, path: Path) -> Placed:
        found = Placed(name=path.stem)
        found.file = shown(path)
        return found

    def _text(self, path: Path) -> str:
        file = shown(path)
        try:
            if path.suffix != ".csv" and path.stat().st_size > MAX_SQL_BYTES:
                self.problems.append(Problem("the file is too large.", file, 1, 1))
                return ""
            return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(Problem(f"the file can't be read: {error}.", file, 1, 1))
            return ""
