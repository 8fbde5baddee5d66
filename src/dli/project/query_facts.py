"""Find in a query what its spec needs: the parameters, the columns with their types, whether it is one SELECT."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from dataspec.errors import InvalidTemplate
from dataspec.keys import MACRO_FOLDER
from dataspec.parameters import EXECUTION_DATE
from dataspec.spec.model import RUN_TIMES, TARGET_NAMES, DatasetSpec
from dataspec.sql.lineage.query_columns import query_columns
from dataspec.sql.lineage.statement_tables import is_select
from dataspec.sql.samples import sampled_texts
from dataspec.sql.template.render import check_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec.dialects import ConnectionDialect

_IS_TIME = re.compile(r"date|time", re.IGNORECASE)
_NAME = re.compile(r"\b[A-Za-z]\w*\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFacts:
    """What a query tells of its dataset."""

    parameters: Mapping[str, str]
    """The type of each parameter, by name."""
    columns: Mapping[str, str | None]
    """The type of each column, where it is known, by name; none where the columns are not certain."""
    is_select: bool
    """Whether it is one SELECT."""
    sample: str
    """The query with sample values."""

    @property
    def has_partition(self) -> bool:
        """Whether its rows are those of a run's date."""
        return EXECUTION_DATE in self.parameters

    @property
    def partition_columns(self) -> list[str]:
        """The columns that may be the partition's, the likeliest first."""
        times = [name for name, kind in self.columns.items() if kind and _IS_TIME.search(kind)]
        return times or [name for name, kind in self.columns.items() if kind is None]

    def typed(self, types: Mapping[str, str]) -> QueryFacts:
        """Return the facts with the columns and types that the engine tells."""
        return replace(self, columns=types)


def query_facts(sql: str, file: str, dialect: ConnectionDialect | None) -> QueryFacts:
    """Return what a query tells of its dataset.

    Args:
        sql: The query, a template.
        file: Its file, for messages.
        dialect: The dialect of the connection.

    Raises:
        InvalidTemplate: When it is no valid template.
    """
    known = [*RUN_TIMES, *TARGET_NAMES, *_NAME.findall(sql)]
    problems, names = check_template(sql, known, file=file)
    if names is None or any(MACRO_FOLDER not in problem.message for problem in problems):
        raise InvalidTemplate(problems[0])
    own = sorted(names - RUN_TIMES - TARGET_NAMES)
    if names & RUN_TIMES and EXECUTION_DATE not in own:
        own.append(EXECUTION_DATE)
    parameters = {name: _type_of(name, sql) for name in own}
    spec = DatasetSpec.model_validate(
        {
            "name": "unnamed",
            "type": "Dataset",
            "owner": "nobody@example.com",
            "query_statement": sql,
            "parameters": [{"name": name, "type": kind} for name, kind in parameters.items()],
            **({"materialization": "table"} if names & TARGET_NAMES else {}),
        }
    )
    (text,) = sampled_texts(spec, {}, dialect.name if dialect else None)
    trees = text.parsed.trees
    return QueryFacts(
        parameters=parameters,
        columns=_columns(trees[0], dialect) if is_select(trees) else {},
        is_select=is_select(trees),
        sample=text.parsed.sql,
    )


def _type_of(name: str, sql: str) -> str:
    """Guess the type of a parameter by the places where the template uses it."""
    if name == EXECUTION_DATE:
        return "date"
    value = rf"\{{\{{-?[^}}]*\b{name}\b"
    ways = (
        ("date", rf"\bdate\s*'{value}"),
        ("datetime", rf"\btimestamp\w*\s*'{value}"),
        ("list", rf"\{{%-?\s*for\s+\w+\s+in\s+{name}\b|\bin\s*\(\s*{value}"),
        ("string", rf"'[^'\n]*{value}|{value}\s*\|\s*identifier|\w{value}|{value}\s*-?\}}\}}\w"),
        ("integer", value),
    )
    return next((kind for kind, way in ways if re.search(way, sql, re.IGNORECASE)), "boolean")


def _columns(query: exp.Expr, dialect: ConnectionDialect | None) -> dict[str, str | None]:
    """Return the columns that a query names, with the types that its expressions tell."""
    name = dialect.name if dialect else None
    if not isinstance(query, exp.Query):
        return {}
    found = query_columns(query, {}, name)
    if found.unknown or not all(column.named for column in found.columns):
        return {}
    try:
        typed = annotate_types(query.copy(), dialect=name)
        types = {one.alias_or_name.lower(): one.type for one in typed.selects}
    except (SqlglotError, RecursionError):
        types = {}
    return {column.name: _written(types.get(column.name.lower()), name) for column in found.columns}


def _written(kind: exp.DataType | None, dialect: str | None) -> str | None:
    if kind is None or kind.is_type(exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL):
        return None
    return kind.sql(dialect).lower()
