"""Read the selected datasets of a project, for commands that act on valid ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec
from dataspec.project.graph import DatasetGraph
from dli.project.check import check_datasets
from dli.project.clocks import with_clocks
from dli.project.project import all_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dataspec.project.spec_checks import CheckedSpec
    from dli.project.project import LocalDataset
    from dli.selection.selection import Selection
    from dli.session import Session


def selected_datasets(
    session: Session,
    selection: Selection,
    *,
    files_of: Callable[[CheckedSpec], Sequence[str]] = lambda _: (),
) -> tuple[list[LocalDataset], DatasetGraph]:
    """Return the selected datasets, upstream ones first, and the graph of the whole project.

    Args:
        session: The command's session.
        selection: What is selected.
        files_of: Returns further files of a spec, relative to the project, by which it is selected too.

    Raises:
        NotFound: When the project has no dataset; or as :meth:`Selection.of`.
        InvalidSpec: When a selected one is invalid, with the problems of all.
        InvalidUsage: When selected ones depend on each other in a cycle; or as :meth:`Selection.of`.
    """
    project = session.project
    checked = check_datasets(project, session.dialects)
    if not checked:
        raise project.no_datasets()
    checked = [replace(spec, shared_files=(*spec.shared_files, *files_of(spec))) for spec in checked]
    selected = selection.of(session.root, checked)
    datasets = [project.read(Path(spec.file)) for spec in selected]
    unread = [problem for spec in selected if spec.dataset is None for problem in spec.problems]
    if problems := dict.fromkeys([*all_problems(datasets), *unread]):
        raise InvalidSpec(list(problems))
    graph = DatasetGraph(spec.dataset for spec in checked if spec.dataset)
    by_name = {dataset.checked().name: dataset for dataset in with_clocks(project, datasets)}
    return [by_name[name] for name in graph.order(by_name)], graph
