"""Find mistakes in a spec with a materialization: in its SQL, and what its engine can't do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.problems import Problem
from dataspec.spec.materialization import AppendForm, named_columns
from dataspec.sql.lineage.statement_tables import is_select, kind_of
from dataspec.sql.lineage.yielded_columns import unknown_in_query, yielded_columns
from dataspec.sql.materialization.supported import engine_sql, why_unsupported
from dataspec.sql.rendering import no_select, why_not_materialized
from dataspec.sql.tokens import split_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.spec.yaml_reader import Document
    from dataspec.sql.samples import SampledText


def materialized_sql_problems(
    spec: DatasetSpec,
    texts: Sequence[SampledText],
    places: SqlPlaces,
    *,
    skip: frozenset[int] = frozenset(),
    connection: ConnectionDialect | None = None,
) -> Iterator[Problem]:
    """Yield the problems of SQL whose rows a run stores, each at its place in the user's file.

    Args:
        spec: A spec with a materialization.
        texts: Its SQL, rendered with sample values.
        places: The places of the SQL.
        skip: The indexes of texts that are invalid as templates.
        connection: The dialect of the spec's connection, for a spec that names none.
    """
    dialect = spec.execution.dialect or (connection.name if connection else None)
    for number, sampled in enumerate(texts):
        if number in skip:
            continue
        ways = [way for way in sampled.all_ways if way.unrendered is None and way.parsed.problem is None]
        problem = next(filter(None, (_problem(way, dialect, spec.target) for way in ways)), None)
        if problem is not None:
            yield places.placed(problem, sampled.text)
    yield from _unknown_columns(spec, texts, places, dialect)


def _unknown_columns(
    spec: DatasetSpec, texts: Sequence[SampledText], places: SqlPlaces, dialect: str | None
) -> Iterator[Problem]:
    """Yield the columns of a materialization that the query does not yield, where ``schema`` does not name them."""
    named = named_columns(spec.materialization) if not spec.columns else {}
    columns = yielded_columns(texts, dialect) if named else []
    for path, column in named.items() if columns else ():
        if problem := unknown_in_query(column, columns):
            yield places.document.problem(path, problem.message, hint=problem.hint)


def _problem(sampled: SampledText, dialect: str | None, target: str | None) -> Problem | None:
    text, trees = sampled.text, sampled.parsed.trees
    parts = split_statements(sampled.parsed.sql, dialect)
    if not parts or (problem := why_not_materialized(text, parts, dialect, target)):
        return problem if parts else None
    if text.kind != "query" or not trees or is_select(trees):
        return None
    return no_select(kind_of(trees[0]), target)


def engine_problems(
    spec: DatasetSpec, document: Document, connection: ConnectionDialect | None
) -> Iterator[Problem]:
    """Yield what the engine can't do, as far as the engine is known, and what the user should know.

    Args:
        spec: The spec.
        document: Its YAML document.
        connection: The dialect of the spec's connection, where it is known.
    """
    form = spec.materialization
    if form is None:
        return
    connected = connection.name if connection and connection.defined else None
    engine = engine_sql(connected, spec.execution.dialect)
    if engine is not None:
        key = ("materialization", "table") if form.table else ("name",)
        parts = tuple(map(engine.stored, (spec.target or spec.name).split(".")))
        if reason := engine.why_no_name(parts):
            yield document.problem(key, f"'{spec.target}' can't be the name of a table: {reason}")
        if form.grants and engine.why_no_grants:
            message = f"{engine.why_no_grants}: 'grants' has no effect there."
            yield document.problem(("materialization", "grants"), message, at_key=True).as_warning()
    elif dialect := connected or spec.execution.dialect:
        yield document.problem(("materialization",), why_unsupported(dialect))
    if isinstance(form, AppendForm) and "max_attempts" not in spec.given_retry.model_fields_set:
        message = "a retry would add the rows twice, so the runs of this dataset have no retries."
        hint = "Set 'retry.max_attempts' to say how many you want; 0 ends this warning."
        yield document.problem(("materialization",), message, hint=hint, at_key=True).as_warning()
