"""Find mistakes in a spec's SQL before any run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.parameters import EXECUTION_DATE
from dataspec.problems import Problem
from dataspec.spec.model import RUN_TIMES
from dataspec.sql.lineage.statement_tables import IDLE, access_of, kind_of, read_and_written, stores_nothing
from dataspec.sql.parser import engine_problem, told_in_macro
from dataspec.sql.preview import UNCHECKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.spec.yaml_reader import Document
    from dataspec.sql.samples import SampledText

_SHOWING = (exp.Describe, exp.Show)


def unused_parameters(spec: DatasetSpec, names: Iterable[str], document: Document) -> Iterator[Problem]:
    """Yield a warning for each parameter that no SQL uses.

    The times of a run are computed from ``execution_date``, so SQL that uses them uses this parameter.
    """
    used = set(names)
    if used & RUN_TIMES:
        used.add(EXECUTION_DATE)
    for index, parameter in enumerate(spec.parameters):
        if parameter.name not in used:
            message = f"no SQL uses the parameter '{parameter.name}'."
            hint = f"Write {{{{ {parameter.name} }}}} where it belongs, or remove it."
            yield document.problem(("parameters", index, "name"), message, hint=hint).as_warning()


def sql_problems(
    spec: DatasetSpec,
    texts: Sequence[SampledText],
    places: SqlPlaces,
    *,
    skip: frozenset[int] = frozenset(),
    dialect: ConnectionDialect | None = None,
) -> Iterator[Problem]:
    """Yield the problems of a spec's SQL in its dialect, each at its place in the user's file.

    Args:
        spec: The spec.
        texts: Its SQL, rendered with sample values.
        places: The places of the SQL.
        skip: The indexes of texts that are invalid as templates.
        dialect: The dialect of the spec's connection on this machine, for a spec that names none. A syntax
            error is then an error if the connection is defined here, and otherwise a warning.
    """
    for number, sampled in enumerate(texts):
        if number not in skip:
            connection, named = spec.execution.connection, spec.execution.dialect
            yield from text_problems(sampled, places, connection, named, dialect)


def condition_problems(
    spec: DatasetSpec,
    conditions: Sequence[SampledText],
    places: SqlPlaces,
    *,
    skip: frozenset[int],
    dialects: Mapping[str, ConnectionDialect],
) -> Iterator[Problem]:
    """Yield the problems of the SQL entries of ``depends_on``, each at its place in the user's file.

    Args:
        spec: The spec.
        conditions: These entries, rendered with sample values.
        places: The places of the SQL.
        skip: The indexes of entries that are invalid as templates.
        dialects: The dialects of this machine's connections, by name.
    """
    for number, (sampled, entry) in enumerate(zip(conditions, spec.conditions, strict=True)):
        if number not in skip:
            connection, named = spec.condition_engine(entry)
            yield from text_problems(sampled, places, connection, named, dialects.get(connection))


def text_problems(
    sampled: SampledText,
    places: SqlPlaces,
    connection: str,
    named: str | None,
    dialect: ConnectionDialect | None,
) -> Iterator[Problem]:
    """Yield the problems of one SQL text in its dialect.

    Args:
        sampled: The text, rendered with sample values.
        places: The places of the SQL.
        connection: The connection that it runs on.
        named: The dialect that the spec names.
        dialect: That of the connection on this machine.
    """
    read = named or (dialect.name if dialect else None)
    wrong = next(filter(None, (_syntax_error(way, read) for way in sampled.all_ways)), None)
    if wrong is not None and named is None:
        hint = _dialect_hint(connection, read)
        wrong = replace(wrong, hint=hint, severity="error" if dialect and dialect.defined else "warning")
    for problem in [wrong] if wrong is not None else _problems_of(sampled):
        yield places.placed(problem, sampled.text)


def _dialect_hint(connection: str, dialect: str | None) -> str:
    """Return the hint for SQL whose dialect the spec does not name."""
    if dialect is None:
        return UNCHECKED.format("").strip()
    return f"It was checked in this dialect because '{connection}' is {dialect} here; 'execution.dialect' names another."


def _syntax_error(sampled: SampledText, dialect: str | None) -> Problem | None:
    """Return the syntax error of a text in its dialect."""
    if sampled.unrendered is not None:
        return None
    parsed = sampled.parsed
    wrong = parsed.problem
    if wrong is None and not sampled.text.is_condition:
        wrong = engine_problem(sampled.text.sql, parsed.sql, parsed.trees, dialect)
    if wrong is None:
        return None
    wrong = told_in_macro(wrong, sampled.text.shared)
    given = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sampled.values.items()
    )
    if dialect is None:
        return replace(wrong, message=f"with {given}: {wrong.message}") if given else wrong
    return replace(wrong, message=f"not valid {dialect}{f' with {given}' if given else ''}: {wrong.message}")


def _problems_of(sampled: SampledText) -> Iterator[Problem]:
    if (why := sampled.unrendered) is not None:
        message = f"the SQL is not checked, since sample values don't fit: {why.message}"
        hint = why.hint or "A default that fits lets it be checked."
        yield Problem(message, "", why.line, why.column, hint, "warning")
    else:
        yield from _statement_problems(sampled)


def _statement_problems(sampled: SampledText) -> Iterator[Problem]:
    trees = sampled.parsed.trees
    if not any(way.parsed.trees for way in sampled.all_ways):
        yield _empty(sampled)
    if sampled.text.kind == "condition":
        yield from _condition_problems(trees)
        return
    if sampled.text.kind == "check":
        return
    for tree in trees:
        if isinstance(tree, _SHOWING):
            yield _at_start(f"{tree.key.upper()} returns rows that are discarded.", "Remove the statement.")
        elif isinstance(tree, exp.Drop) and str(tree.args.get("kind")).upper() in {"DATABASE", "SCHEMA"}:
            yield _at_start(
                f"{kind_of(tree)} drops the tables of other datasets as well.", "Drop tables by name."
            )
    if sampled.text.kind == "query":
        yield from _query_problems(trees, [tree for way in sampled.all_ways for tree in way.parsed.trees])


def _condition_problems(trees: Sequence[exp.Expr]) -> Iterator[Problem]:
    hint = "Write one query that returns a row as soon as the run may start."
    if len(trees) > 1:
        yield replace(_at_start(f"the condition holds {len(trees)} statements.", hint), severity="error")
    elif trees and (any(read_and_written(trees[0])[1]) or stores_nothing(trees[0])):
        yield replace(_at_start(f"{kind_of(trees[0])} is no query.", hint), severity="error")


def _query_problems(trees: Sequence[exp.Expr], any_way: Sequence[exp.Expr]) -> Iterator[Problem]:
    if len(trees) > 1:
        message = f"the query holds {len(trees)} statements."
        hint = "Keep the one that builds the dataset; put the others under 'pre_statements' or 'post_statements'."
        yield _at_start(message, hint)
    if trees and all(isinstance(tree, IDLE) and not _writes(tree) for tree in any_way):
        kinds = ", ".join(dict.fromkeys(map(kind_of, trees)))
        message = f"the query builds nothing: {kinds} neither yields rows nor fills a table."
        hint = "Put it under 'pre_statements' or 'post_statements', and what builds the dataset here."
        yield replace(_at_start(message, hint), severity="error")


def _writes(tree: exp.Expr) -> bool:
    return bool(access_of(tree).writes)


def _empty(sampled: SampledText) -> Problem:
    what = "the query" if sampled.text.kind == "query" else f"the statement '{sampled.text.name}'"
    if "{%" in sampled.text.sql:
        return _at_start(f"{what} holds no statement with the parameters' sample values.", None)
    problem = _at_start(f"{what} holds no statement, only comments.", "Write its SQL, or remove it.")
    return replace(problem, severity="error")


def _at_start(message: str, hint: str | None) -> Problem:
    return Problem(message, "", 1, 1, hint, "warning")
