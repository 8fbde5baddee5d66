"""Select datasets of a project by name, tag, path, dependency, and change (specification 22.41)."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import NotFound
from dataspec.problems import nearest
from dli.selection.words import parse_word
from dli.session import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dataspec.project.graph import DatasetGraph
    from dataspec.project.spec_checks import CheckedSpec
    from dli.selection.words import Word

_KNOWN_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """The values of the options ``--select``, ``--exclude`` and ``--changed``."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    changed: str | None = None
    """The Git ref to compare with."""

    def __bool__(self) -> bool:
        return bool(self.select or self.exclude or self.changed is not None)

    def of(self, root: Path, checked: Sequence[CheckedSpec]) -> list[CheckedSpec]:
        """Return the selected specs of a project, in their order.

        Args:
            root: The project's folder.
            checked: All specs of the project.

        Returns:
            None of them only if none has changed.

        Raises:
            InvalidUsage: When a word is invalid, or Git can't compare with the ref.
            NotFound: When a word matches no dataset, or every selected one is excluded; suggests the nearest.
        """
        selector = _Selector(root, checked)
        files = selector.matching(self.select) if self.select else {spec.file for spec in checked}
        excluded = selector.matching(self.exclude)
        if files and files <= excluded:
            raise NotFound("No dataset is left: --exclude leaves out all that are selected.")
        files -= excluded
        if self.changed is not None:
            files &= selector.changed(self.changed)
            if not files:
                say(f"No selected dataset differs from {self.changed}.")
        return [spec for spec in checked if spec.file in files]


class _Selector:
    """Finds the specs of a project that words mean; a spec is known by its file."""

    def __init__(self, root: Path, checked: Sequence[CheckedSpec]) -> None:
        self._root = root
        self._checked = checked

    def matching(self, texts: Iterable[str]) -> set[str]:
        """Return the specs that match one of the texts; of words joined by commas, all of them."""
        return set[str]().union(*map(self._fitting_all, texts))

    def changed(self, ref: str) -> set[str]:
        """Return the specs that differ from a Git ref, and those downstream of them."""
        from dli.selection.changed import changed_specs

        return self._with_others(changed_specs(self._root, ref, self._checked), upstream=0, downstream=None)

    @cached_property
    def _graph(self) -> DatasetGraph:
        from dataspec.project.graph import DatasetGraph

        return DatasetGraph(spec.dataset for spec in self._checked if spec.dataset)

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """The specs of each dataset; several for a name that is defined twice."""
        found = defaultdict(list)
        for spec in self._checked:
            if spec.dataset is not None:
                found[spec.dataset.name].append(spec.file)
        return found

    def _fitting_all(self, text: str) -> set[str]:
        found = [self._fitting(parse_word(part)) for part in text.split(",")]
        both = set.intersection(*found)
        if not both:
            apart = " ".join(text.split(","))
            raise NotFound(
                f"No dataset fits all of '{text}'.",
                detail=f"A comma selects what fits all of the words. For what fits any of them: {apart}",
            )
        return both

    def _fitting(self, word: Word) -> set[str]:
        if word.method == "name":
            found = [spec for spec in self._checked if spec.name is not None and word.matches(spec.name)]
        elif word.method == "tag":
            found = [spec for spec in self._checked if any(map(word.matches, spec.tags))]
        else:
            found = list(self._below(word))
        if not found:
            raise self._nothing(word)
        return self._with_others(found, upstream=word.upstream, downstream=word.downstream)

    def _below(self, word: Word) -> Iterable[CheckedSpec]:
        """Yield the specs that are, or are below, a path; those with such a SQL file as well."""
        places = [os.path.normpath(base / word.value) for base in (Path.cwd(), self._root.absolute())]
        places = [place for place in places if Path(place).exists()][:1] or places
        words = [parse_word(f"path:{place}") for place in places]
        for spec in self._checked:
            paths = [Path(path) for path in paths_of(spec, self._root)]
            parents = chain.from_iterable((path, *path.parents) for path in paths)
            if any(one.matches(str(path)) for path in parents for one in words):
                yield spec

    def _with_others(
        self, specs: Iterable[CheckedSpec], *, upstream: int | None, downstream: int | None
    ) -> set[str]:
        """Return specs with those upstream and downstream of them, up to so many steps away."""
        specs = list(specs)
        names = {spec.dataset.name for spec in specs if spec.dataset}
        reached = self._graph.reached(names, upstream=True, steps=upstream)
        reached |= self._graph.reached(names, upstream=False, steps=downstream)
        return {spec.file for spec in specs}.union(*(self._files[name] for name in reached - names))

    def _nothing(self, word: Word) -> NotFound:
        if word.method == "tag":
            known = sorted(set(chain.from_iterable(spec.tags for spec in self._checked)))
            text = f"No dataset of this project has the tag '{word.value}'."
            others = f"Known tags: {_some(known)}." if known else "No dataset has a tag."
        elif word.method == "path":
            files = [Path(spec.file) for spec in self._checked]
            known = list(dict.fromkeys(str(path) for file in files for path in (file, *file.parents)))
            text = f"No dataset of this project is at or below '{word.value}'."
            others = "Paths are relative to the current folder, or to the project's."
        else:
            names = [spec.name for spec in self._checked if spec.name is not None]
            known = [*names, *dict.fromkeys(f"{name.rpartition('.')[0]}.*" for name in names if "." in name)]
            text = f"No dataset of this project matches '{word.value}'."
            others = "List them: dli dataset list"
        return NotFound(text, detail=nearest(word.value, known) or others)


def paths_of(spec: CheckedSpec, root: Path) -> list[str]:
    """Return the absolute paths of a spec, its SQL files, and the macros and seeds that it uses, existing or not."""
    file = Path(os.path.abspath(spec.file))  # noqa: PTH100 - links stay as they are
    sql = (file.parent / named for named in spec.sql_files)
    shared = (root.absolute() / named for named in spec.shared_files)
    return [str(file), *map(os.path.normpath, (*sql, *shared))]


def _some(names: Sequence[str]) -> str:
    shown_names = ", ".join(names[:_KNOWN_SHOWN])
    return shown_names if len(names) <= _KNOWN_SHOWN else f"{shown_names}, …"
