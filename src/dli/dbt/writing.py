"""Write what a dbt project was turned into, once every spec of it is valid."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataspec.keys import SEED_FOLDER
from dataspec.spec.identity import DEFAULT_CONNECTION
from dataspec.spec.yaml_reader import read_document
from dli.dbt.columns import complete_columns
from dli.dbt.specs import yaml_text
from dli.project.check import check_datasets
from dli.project.paths import shown
from dli.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dataspec.problems import Problem
    from dataspec.project.spec_checks import CheckedSpec
    from dataspec.spec.dialects import ConnectionDialect
    from dli.dbt.outcome import Dataset, Outcome

FOLDER = "datasets/"


def valid_files(outcome: Outcome, dialects: Mapping[str, ConnectionDialect]) -> dict[str, str]:
    """Return the files of a project: text by path; each spec is valid.

    A dataset with a mistake gets the next translation of its SQL. A check or test with a mistake, and a dataset
    without a further translation, are left out, with a problem in the outcome.

    Args:
        outcome: The datasets.
        dialects: The SQL dialects of this machine's connections, by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder).resolve(), Path(folder).resolve() / FOLDER)
        checked = _settled(outcome, project, dialects)
        connection = dialects.get(DEFAULT_CONNECTION)
        complete_columns(outcome, project, checked, connection.name if connection else None)
        _settled(outcome, project, dialects)
    return files_of(outcome)


class _Part(Project):
    """Some files of a project, which are checked again after a change."""

    def __init__(self, project: Project, files: Sequence[Path]) -> None:
        super().__init__(project.root, project.folder)
        self._files = files

    def yaml_files(self) -> Iterator[Path]:
        """Yield the files that are still there."""
        return (path for path in self._files if path.exists())


def _settled(
    outcome: Outcome, project: Project, dialects: Mapping[str, ConnectionDialect]
) -> list[CheckedSpec]:
    """Check all specs until none has an error, and between two rounds what was changed; return them."""
    while True:
        _write(project.root, files_of(outcome))
        checked = check_datasets(Project(project.root, project.folder), dialects)
        wrong = [spec for spec in checked if not spec.valid]
        if not wrong:
            return checked
        while wrong:
            for spec in wrong:
                errors = [problem for problem in spec.problems if problem.severity == "error"]
                _mend(outcome, spec, errors, project.root)
            _write(project.root, files_of(outcome))
            part = _Part(project, [Path(spec.file) for spec in wrong])
            wrong = [spec for spec in check_datasets(part, dialects) if not spec.valid]


def files_of(outcome: Outcome) -> dict[str, str]:
    """Return the files of all datasets: text by path in the project."""
    names = {dataset.node.table.lower(): name for name, dataset in outcome.datasets.items()}
    files: dict[str, str] = {}
    called: set[str] = set()
    for name, dataset in outcome.datasets.items():
        place = f"{FOLDER}{dataset.folder}"
        files[f"{place}dataset.{name}.yaml"] = yaml_text(_spec(dataset, names))
        if dataset.seed is None:
            files[f"{place}{name}.sql"] = dataset.translated.sql
        else:
            files[f"{SEED_FOLDER}{dataset.seed_name}.csv"] = dataset.seed
        called |= set(dataset.translated.macros)
    return files | (outcome.shared.files(called) if outcome.shared else {})


def _spec(dataset: Dataset, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the data of a spec, in the order of the keys in the documentation."""
    own = dataset.node.dataset
    if dataset.seed is None:
        query = {"query_file": f"{own}.sql"}
    else:
        query = {"query_statement": dataset.translated.sql.strip()}
    tables = (*dataset.translated.tables, *dataset.read)
    upstream = dict.fromkeys(names[table.lower()] for table in tables if table.lower() in names)
    found = {
        **dataset.head,
        **query,
        **dataset.statements,
        "parameters": dataset.parameters,
        "depends_on": [name for name in upstream if name != own],
        "schema": dataset.columns,
        "materialization": dataset.materialization,
        "checks": dataset.checks,
        "tests": dataset.tests,
        "execution": dataset.execution,
    }
    return {key: value for key, value in found.items() if value}


def _write(root: Path, files: Mapping[str, str]) -> None:
    for path in [*root.rglob("*.yaml"), *root.rglob("*.sql")]:
        path.unlink()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")


def _mend(outcome: Outcome, spec: CheckedSpec, errors: list[Problem], root: Path) -> None:
    dataset = next(one for one in outcome.datasets.values() if _is_of(one, spec.file))
    of_sql = next((problem for problem in errors if not problem.file.endswith(".yaml")), None)
    entries = [(problem, _entry(dataset, problem, root)) for problem in errors]
    if of_sql is None and all(entry is not None for _, entry in entries):
        for entry in sorted({entry for _, entry in entries if entry is not None}, reverse=True):
            problem = next(problem for problem, at in entries if at == entry)
            _drop(outcome, dataset, entry, problem)
        return
    problem = of_sql or next(problem for problem, entry in entries if entry is None)
    if dataset.ways:
        dataset.translated = dataset.ways.pop(0)
        return
    node = dataset.node
    del outcome.datasets[node.dataset]
    message = f"the {node.kind} '{node.own_name}' was not turned: {_reason(problem)}"
    outcome.lose(f"{node.kind}s", node.problem(message))
    for kind, lost in (("tests", len(dataset.checks)), ("unit tests", len(dataset.tests))):
        outcome.lost[kind] += lost


def _is_of(dataset: Dataset, file: str) -> bool:
    return Path(file).name == f"dataset.{dataset.node.dataset}.yaml"


def _entry(dataset: Dataset, problem: Problem, root: Path) -> tuple[str, int] | None:
    """Return the check, test or column in which a problem is; None for one elsewhere."""
    path = root / FOLDER / dataset.folder / f"dataset.{dataset.node.dataset}.yaml"
    if problem.file != shown(path):
        return None
    document = read_document(path.read_bytes(), "")
    places = {**document.values, **document.keys}
    at = (problem.line or 1, problem.column or 1)
    before = [(place, key) for key, place in places.items() if key and place <= at]
    if not before:
        return None
    key = max(before, key=lambda one: (one[0], len(one[1])))[1]
    if key[0] in {"checks", "tests", "schema"} and len(key) > 1 and isinstance(key[1], int):
        return str(key[0]), key[1]
    return None


def _drop(outcome: Outcome, dataset: Dataset, entry: tuple[str, int], problem: Problem) -> None:
    key, index = entry
    if key == "schema":
        message = f"the column '{dataset.columns.pop(index)['name']}' was left out: {_reason(problem)}"
        outcome.problems.append(dataset.node.problem(message))
        return
    found = dataset.checks if key == "checks" else dataset.tests
    lost = found.pop(index)
    kind = next((one for one in lost if one not in {"name", "severity", "where"}), "")
    title = lost.get("name") or kind
    what = "unit test" if key == "tests" else "test"
    message = f"the {what} '{title}' of '{dataset.node.own_name}' was not turned: {_reason(problem)}"
    outcome.lose(f"{what}s", dataset.node.problem(message))


def _reason(problem: Problem) -> str:
    return f"{problem.message} {problem.hint}" if problem.hint else problem.message
