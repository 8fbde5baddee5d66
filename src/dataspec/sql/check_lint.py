"""Find mistakes in a spec's checks: in their SQL, and columns that the query does not yield."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.tokens import TokenType

from dataspec.problems import Problem
from dataspec.sql.lineage.column_uses import built_table
from dataspec.sql.lineage.statement_tables import is_select, kind_of
from dataspec.sql.lineage.yielded_columns import unknown_in_query, yielded_columns
from dataspec.sql.lint import text_problems
from dataspec.sql.source_map import in_template
from dataspec.sql.tokens import find_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.sql.samples import SampledText

_QUERY_HINT = "Write one SELECT of the rows that are wrong."
_CONDITION_HINT = "Write one condition, such as: amount >= 0."


def check_sql_problems(
    spec: DatasetSpec,
    checks: Sequence[SampledText],
    texts: Sequence[SampledText],
    places: SqlPlaces,
    *,
    skip: frozenset[int] = frozenset(),
    dialect: ConnectionDialect | None = None,
) -> Iterator[Problem]:
    """Yield the problems of a spec's checks, each at its place in the user's file.

    Args:
        spec: The spec.
        checks: The SQL of its checks, rendered with sample values.
        texts: Its other SQL.
        places: The places of the SQL.
        skip: The indexes of checks that are invalid as templates.
        dialect: The dialect of the spec's connection on this machine.
    """
    read = spec.execution.dialect or (dialect.name if dialect else None)
    yield from _schema_problems(spec, texts, places, read)
    columns = _known_columns(spec, texts, read)
    for index, check in enumerate(spec.checks if columns else ()):
        for path, column in check.column_places(("checks", index)):
            if problem := unknown_in_query(column, columns):
                yield places.document.problem(path, problem.message, hint=problem.hint)
    for number, sampled in enumerate(checks):
        if number in skip:
            continue
        found = [*text_problems(sampled, places, spec.execution.connection, spec.execution.dialect, dialect)]
        yield from found
        if not found:
            yield from _own_problems(sampled, columns, places, read)


def _known_columns(spec: DatasetSpec, texts: Sequence[SampledText], dialect: str | None) -> list[str]:
    """Return the columns that the rows have; none where they are not known, or ``schema`` names them already."""
    if spec.columns or spec.materialization is None:
        return [column.name for column in spec.columns] if spec.materialization else []
    return yielded_columns(texts, dialect)


def _schema_problems(
    spec: DatasetSpec, texts: Sequence[SampledText], places: SqlPlaces, dialect: str | None
) -> Iterator[Problem]:
    """Yield the differences of ``schema`` and the columns that the query surely yields."""
    built = built_table(spec, texts) if spec.columns else None
    names = list(built.columns) if built else yielded_columns(texts, dialect) if spec.columns else []
    if not names:
        return
    for index, column in enumerate(spec.columns):
        if problem := unknown_in_query(column.name, names):
            yield places.document.problem(("schema", index, "name"), problem.message, hint=problem.hint)
    declared = {column.name.lower() for column in spec.columns}
    if extra := [name for name in names if name.lower() not in declared]:
        message = f"the query yields columns that 'schema' lacks: {', '.join(extra)}."
        yield places.document.problem(("schema",), message, at_key=True).as_warning()


def _own_problems(
    sampled: SampledText, columns: Sequence[str], places: SqlPlaces, dialect: str | None
) -> Iterator[Problem]:
    """Yield the first problem of a check whose SQL is valid by itself."""
    if not sampled.text.is_condition:
        if not is_select(sampled.parsed.trees):
            trees = sampled.parsed.trees
            what = kind_of(trees[0]) if len(trees) == 1 else f"{len(trees)} statements"
            message = f"a check is one SELECT, and it holds {what}."
            yield places.placed(Problem(message, "", 1, 1, _QUERY_HINT), sampled.text)
        return
    for way in sampled.all_ways:
        reason = None if way.unrendered else _why_no_condition(way, dialect)
        if reason:
            yield places.placed(Problem(reason, "", 1, 1, _CONDITION_HINT), sampled.text)
            return
        if problem := _unknown_in(way, columns):
            yield places.placed(problem, sampled.text)
            return


def _why_no_condition(sampled: SampledText, dialect: str | None) -> str | None:
    trees = sampled.parsed.trees
    if len(trees) != 1 or any(
        token.token_type is TokenType.SEMICOLON for token in find_tokens(sampled.parsed.sql, dialect)
    ):
        return "a condition has no ';'."
    if not isinstance(trees[0], exp.Condition):
        return f"it is no condition: {sampled.parsed.sql.strip()}"
    for node in trees[0].walk(prune=lambda node: isinstance(node, exp.Query)):
        if isinstance(node, exp.AggFunc | exp.Window):
            return f"{node.sql(dialect)} is computed from several rows, and a condition is true for each row."
    return None


def _unknown_in(sampled: SampledText, columns: Sequence[str]) -> Problem | None:
    """Return the problem of the first column in a condition that the rows don't have."""
    tree = sampled.parsed.trees[0] if sampled.parsed.trees else None
    if tree is None or not columns or tree.find(exp.Lambda, exp.Kwarg):
        return None
    for node in tree.walk(prune=lambda node: isinstance(node, exp.Query)):
        if (
            isinstance(node, exp.Column)
            and not node.table
            and (problem := unknown_in_query(node.name, columns))
        ):
            meta = node.this.meta
            if "line" not in meta:
                return problem
            line, column = in_template(
                sampled.text.sql, sampled.parsed.sql, meta["line"], meta["col"], node.name
            )
            return replace(problem, line=line, column=column)
    return None
