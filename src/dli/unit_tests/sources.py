"""Find the unit tests of a project: in its specs, and in the files of its folder ``tests``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec
from dataspec.problems import Problem, nearest
from dataspec.spec.detection import is_dataset
from dataspec.spec.parse import read_model
from dataspec.spec.unit_tests import UnitTest, UnitTestFile, fixture_files, unit_test_problems
from dataspec.spec.yaml_reader import MAX_YAML_BYTES, read_document
from dataspec.sql.values.seeds import MAX_SEED_BYTES
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from dataspec.project.spec_checks import CheckedSpec
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document
    from dli.project.project import LocalDataset, Project

TEST_FOLDER = "tests"
_SUFFIXES = (".yaml", ".yml")
_KEYS = re.compile(r"^(dataset|tests)[ \t]*:", re.MULTILINE)
"""The keys by which a YAML file of the folder is one of unit tests, and not a file of other tests."""


@dataclass(frozen=True, slots=True)
class UnitTestSource:
    """Where unit tests of one dataset are written: a spec, or a file of tests."""

    tests: tuple[UnitTest, ...]
    document: Document = field(repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The text of each CSV file, by its path in the YAML."""
    problems: tuple[Problem, ...] = ()


class UnitTestFiles:
    """The files of unit tests of a project.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._by_dataset: dict[str, list[tuple[Path, UnitTestFile, Document]]] = {}
        self._unread: list[tuple[str | None, InvalidSpec]] = []
        """The errors of files that are no valid tests, each with the dataset's name, if it can be read."""
        for path in _yaml_files(project.root / TEST_FOLDER):
            self._read(path)

    def of_no_dataset(self, names: Collection[str]) -> list[Problem]:
        """Return the problems of files that belong to no dataset of the project.

        Args:
            names: The names of the project's datasets.
        """
        problems = [
            problem for name, error in self._unread if name not in names for problem in error.problems
        ]
        for name, found in self._by_dataset.items():
            for _, _, document in found if name not in names else ():
                message = f"this project has no dataset '{name}'."
                problems.append(document.problem(("dataset",), message, hint=nearest(name, names)))
        return problems

    def has(self, name: str | None) -> bool:
        """Return whether there are files of tests for a dataset, valid or not."""
        return name in self._by_dataset or any(name == unread for unread, _ in self._unread)

    def paths(self, spec: CheckedSpec) -> list[str]:
        """Return the paths of a dataset's files of tests and of all its CSV files, relative to the project."""
        paths = [Path(spec.file).absolute().parent / named for named in spec.fixture_files]
        for path, file, _ in self._by_dataset.get(spec.name or "", ()):
            paths += [path, *(path.parent / named for named in fixture_files(file.tests))]
        return [os.path.relpath(one, self._project.root) for one in paths]

    def of(self, dataset: LocalDataset) -> list[UnitTestSource]:
        """Return the unit tests of a valid dataset, those of its spec first."""
        spec, document = dataset.checked(), dataset.document
        sources = []
        if spec.tests and document is not None:
            sources.append(self._source(Path(dataset.file).parent, spec.tests, document))
        for path, file, written in self._by_dataset.get(spec.name, ()):
            problems = tuple(unit_test_problems(spec, file.tests, written))
            sources.append(self._source(path.parent, file.tests, written, problems))
        return sources

    def problems_of(self, spec: DatasetSpec) -> list[Problem]:
        """Return the problems of files that name a dataset and are no valid tests."""
        return [problem for name, error in self._unread if name == spec.name for problem in error.problems]

    def _read(self, path: Path) -> None:
        file, name = shown(path), None
        try:
            text = self._project.text_in(path, MAX_YAML_BYTES)
            if not _KEYS.search(text):
                return
            document = read_document(text.encode(), file)
            if is_dataset(document):
                return
            data = document.data
            name = data.get("dataset") if isinstance(data, dict) else None
            tests = read_model(document, UnitTestFile, "a file of unit tests")
        except InvalidSpec as error:
            self._unread.append((name if isinstance(name, str) else None, error))
            return
        self._by_dataset.setdefault(tests.dataset, []).append((path, tests, document))

    def _source(
        self,
        folder: Path,
        tests: Sequence[UnitTest],
        document: Document,
        problems: tuple[Problem, ...] = (),
    ) -> UnitTestSource:
        texts, unread = {}, list(problems)
        for named in fixture_files(tests):
            path = folder / named
            try:
                if path.is_file():
                    texts[named] = self._project.text_in(path, MAX_SEED_BYTES)
            except InvalidSpec as error:
                unread += error.problems
        return UnitTestSource(tuple(tests), document, texts, tuple(unread))


def _yaml_files(folder: Path) -> Iterator[Path]:
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if name.endswith(_SUFFIXES))
