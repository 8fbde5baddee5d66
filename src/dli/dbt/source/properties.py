"""Read the YAML files of a dbt project, with the line of each mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from dataspec.problems import Problem
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_YAML_BYTES = 4 * 1024 * 1024


class Placed(dict[str, Any]):
    """A mapping of a YAML file, with its place."""

    file: str = ""
    line: int = 1
    column: int = 1

    def problem(self, message: str, hint: str | None = None) -> Problem:
        """Return a warning at the place of the mapping."""
        return Problem(message, self.file, self.line, self.column, hint, "warning")


class _Loader(yaml.SafeLoader):
    """Loads mappings as :class:`Placed`."""

    file = ""

    def placed(self, node: yaml.MappingNode) -> Iterator[Placed]:
        found = Placed()
        mark = node.start_mark
        found.file, found.line, found.column = self.file, mark.line + 1, mark.column + 1
        yield found
        self.flatten_mapping(node)
        found.update({str(key): value for key, value in self.construct_mapping(node).items()})


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.placed)


def read_yaml(path: Path) -> Placed:
    """Return the mapping in a YAML file of a dbt project; an empty one for an empty file.

    Raises:
        UnreadableFile: When it is no YAML, or no mapping.
    """
    file = shown(path)
    try:
        body = path.read_bytes()
        if len(body) > MAX_YAML_BYTES:
            raise UnreadableFile(Problem("the file is too large.", file, 1, 1))
        loader = _Loader(body)
        loader.file = file
        found = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise UnreadableFile(Problem(f"no valid YAML: {error.problem}.", file, *place)) from None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableFile(Problem(f"the file can't be read: {error}", file, 1, 1)) from None
    if found is None:
        found = Placed()
        found.file = file
    if not isinstance(found, Placed):
        raise UnreadableFile(Problem("the file holds no mapping.", file, 1, 1))
    return found


class UnreadableFile(Exception):
    """A file of a dbt project that can't be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def entries(found: Any) -> list[Placed]:
    """Return the mappings of a list; none for anything else."""
    return [entry for entry in found if isinstance(entry, Placed)] if isinstance(found, list) else []


def texts(found: Any) -> list[str]:
    """Return a text, or the texts of a list, as a list."""
    several = found if isinstance(found, list) else [found]
    return [str(one) for one in several if isinstance(one, str | int | float)]
