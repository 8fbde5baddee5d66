"""Turn dbt's tests into checks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dli.dbt.source.properties import Placed, entries
from dli.dbt.sql.values import THIS, NotKnown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dataspec.problems import Problem
    from dli.dbt.sql.renderer import Renderer

_KEYS = ("tests", "data_tests")
_CONFIG = frozenset(
    {"severity", "where", "enabled", "error_if", "warn_if", "limit", "store_failures", "tags", "meta"}
)
_TABLE = re.compile(r"(?:ref|source)\s*\(.*\)", re.DOTALL)
_NO_NAME = re.compile(r"[^A-Za-z0-9_.\-]")
_DEFAULT_CONDITION = frozenset({"!= 0", "!=0", "> 0", ">0", ">= 1", ">=1", "<> 0"})


@dataclass(frozen=True, kw_only=True)
class Test:
    """A generic test of dbt, on a model or one of its columns."""

    package: str
    """The package of the test; empty for dbt's own."""
    kind: str
    column: str | None
    arguments: Mapping[str, Any]
    config: Mapping[str, Any]
    name: str | None
    description: str | None
    place: Placed

    def problem(self, reason: str) -> Problem:
        """Return why it was not turned."""
        on = f" of the column '{self.column}'" if self.column else ""
        return self.place.problem(f"the test '{self.title}'{on} was not turned: {reason}.")

    @property
    def title(self) -> str:
        """Its kind, with the package."""
        return f"{self.package}.{self.kind}" if self.package else self.kind


@dataclass(frozen=True, kw_only=True)
class TurnedCheck:
    """A check, and the tables that it reads beside the dataset's own."""

    check: dict[str, Any]
    tables: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    """What of the test was left out."""


def tests_of(described: Placed) -> Iterator[Test]:
    """Yield the generic tests in the entry of a model, seed or source."""
    for key in _KEYS:
        for found in described.get(key) or ():
            yield from _test(found, None, described)
    for column in entries(described.get("columns")):
        for key in _KEYS:
            for found in column.get(key) or ():
                yield from _test(found, str(column.get("name")), column)


def _test(found: Any, column: str | None, place: Placed) -> Iterator[Test]:
    if isinstance(found, str):
        found = Placed({found: {}})
        found.file, found.line, found.column = place.file, place.line, place.column
    if not isinstance(found, Placed) or not found:
        return
    if "test_name" in found:
        title, given = (
            str(found["test_name"]),
            {key: value for key, value in found.items() if key != "test_name"},
        )
    else:
        title = next(iter(found))
        inner = found[title]
        given = {
            **(inner if isinstance(inner, dict) else {}),
            **{k: v for k, v in found.items() if k != title},
        }
    package, _, kind = title.rpartition(".")
    arguments = {**given, **(given.get("arguments") or {})}
    config = {key: given[key] for key in _CONFIG & given.keys()} | (given.get("config") or {})
    for key in (*_CONFIG, "config", "arguments", "name", "description"):
        arguments.pop(key, None)
    yield Test(
        package=package,
        kind=kind,
        column=column,
        arguments=arguments,
        config=config,
        name=given.get("name"),
        description=given.get("description"),
        place=found,
    )


def constraint_checks(described: Placed) -> Iterator[dict[str, Any]]:
    """Yield the checks that a model's contract promises by its constraints."""
    for entry in entries(described.get("constraints")):
        columns = [str(name) for name in entry.get("columns") or ()]
        yield from _constraint(entry, columns)
    for column in entries(described.get("columns")):
        for entry in entries(column.get("constraints")):
            yield from _constraint(entry, [str(column.get("name"))])


def _constraint(entry: Placed, columns: list[str]) -> Iterator[dict[str, Any]]:
    kind = entry.get("type")
    if kind in {"not_null", "primary_key"} and columns:
        yield {"not_null": columns}
    if kind in {"unique", "primary_key"} and columns:
        yield {"unique": columns}
    if kind == "check" and entry.get("expression"):
        yield {"expression": str(entry["expression"])}


class CheckTurner:
    """Turns generic tests into checks.

    Args:
        renderer: Renders their arguments, and the macros that define them.
        defaults: The configuration of the project's tests.
    """

    def __init__(self, renderer: Renderer, defaults: Mapping[str, Any]) -> None:
        self._renderer = renderer
        self._defaults = defaults

    def turn(self, test: Test, package: str, own: str) -> TurnedCheck:
        """Return the check of a test.

        Args:
            test: The test.
            package: The package of its model.
            own: The table of its model.

        Raises:
            NotKnown: When there is none, with the reason.
        """
        test = replace(test, config={**self._defaults, **test.config})
        self._renderer.tables, self._renderer.config = {}, {}
        check = self._check(test, package)
        if (relation := check.get("relationships")) is not None:
            self._renderer.tables[relation["to"]] = None
        tail = {}
        if str(test.config.get("severity", "error")).lower() == "warn":
            tail["severity"] = "warn"
        if (where := test.config.get("where")) and "sql" not in check:
            tail["where"] = _both(self._text(where, package), check.pop("where", None))
        head = {"name": _NO_NAME.sub("_", str(test.name))[:100]} if test.name else {}
        return TurnedCheck(
            check={**head, **check, **tail},
            tables=tuple(table for table in self._renderer.tables if table != own),
            problems=tuple(_conditions(test)),
        )

    def _check(self, test: Test, package: str) -> dict[str, Any]:
        turned = _TURNED.get(test.title)
        if turned is None:
            return {"sql": self._query(test, package)}
        given = {key: self._argument(value, package) for key, value in test.arguments.items()}
        return turned(replace(test, arguments=given))

    def _query(self, test: Test, package: str) -> str:
        """Return the query of a test that a macro of the project or a package defines."""
        macros, macro = self._renderer.macros, f"test_{test.kind}"
        owners = (test.package,) if test.package else (package, macros.root)
        owner = next((one for one in owners if macros.find(one, macro)), None)
        if owner is None:
            raise NotKnown(f"there is no macro '{test.title}'")
        where = test.config.get("where")
        rows = f"(select * from {THIS} where {self._text(where, package)}) as rows_checked" if where else THIS
        given = {key: self._argument(value, package) for key, value in test.arguments.items()}
        given |= {"model": rows, **({"column_name": test.column} if test.column else {})}
        call = f"{{{{ {owner}.{macro}(**given) }}}}"
        return self._renderer.render(call, package=package, given=given).strip().replace(THIS, "{{ this }}")

    def _argument(self, value: Any, package: str) -> Any:
        """Return an argument of a test, rendered; ``ref('x')`` alone means the table."""
        if isinstance(value, list):
            return [self._argument(one, package) for one in value]
        if not isinstance(value, str):
            return value
        source = f"{{{{ {value} }}}}" if _TABLE.fullmatch(value.strip()) else value
        return str(self._renderer.render(source, package=package)).strip() if "{{" in source else value

    def _text(self, text: Any, package: str) -> str:
        return self._renderer.render(str(text), package=package).replace(THIS, "{{ this }}").strip()


def _both(one: str, other: str | None) -> str:
    return f"({one}) and ({other})" if other else one


def _conditions(test: Test) -> Iterator[Problem]:
    for key in ("error_if", "warn_if"):
        condition = str(test.config.get(key, "!= 0")).strip()
        if condition not in _DEFAULT_CONDITION:
            message = (
                f"'{key}: {condition}' of the test '{test.title}' was left out: any row that fails counts."
            )
            yield test.place.problem(message)


def add_check(checks: list[dict[str, Any]], check: dict[str, Any]) -> None:
    """Add a check to others; ``not_null`` of several columns is one check, and no name is taken twice."""
    if check.keys() == {"not_null"} and (
        same := next((one for one in checks if one.keys() == {"not_null"}), None)
    ):
        same["not_null"] += [name for name in check["not_null"] if name not in same["not_null"]]
        return
    if check.get("name") in {one["name"] for one in checks if "name" in one}:
        check = {key: value for key, value in check.items() if key != "name"}
    if check not in checks:
        checks.append(check)


def _column(test: Test) -> str:
    column = test.column or test.arguments.get("column_name")
    if not column:
        raise NotKnown("it names no column")
    return str(column)


def _given(test: Test, name: str) -> Any:
    if name not in test.arguments:
        raise NotKnown(f"it lacks '{name}'")
    return test.arguments[name]


def _accepted(test: Test) -> dict[str, Any]:
    values = list(_given(test, "values"))
    is_text = bool(test.arguments.get("quote", True))
    written = [str(value) if is_text and not isinstance(value, bool) else value for value in values]
    return {
        "accepted_values": {"column": _column(test), "values": [one for one in written if one is not None]}
    }


def _relationship(test: Test) -> dict[str, Any]:
    to, other = _given(test, "to"), _given(test, "field")
    return {"relationships": {"column": _column(test), "to": to, "field": str(other)}}


def _relationship_where(test: Test) -> dict[str, Any]:
    if test.arguments.get("to_condition", "1=1") != "1=1":
        raise NotKnown("'to_condition' has no counterpart")
    found = _relationship(test)
    condition = test.arguments.get("from_condition")
    return {**found, "where": str(condition)} if condition else found


def _true(test: Test) -> dict[str, Any]:
    """Return the check of ``expression_is_true``, which null passes in dbt."""
    expression = str(_given(test, "expression")).strip()
    condition = f"{test.column} {expression}" if test.column else expression
    return {"expression": f"coalesce({condition}, true)"}


def _range(test: Test) -> dict[str, Any]:
    column, given = _column(test), test.arguments
    bounds = (("min_value", ">"), ("max_value", "<"))
    strict = given.get("strictly", False) or not given.get("inclusive", True)
    parts = [
        f"{column} {sign if strict else sign + '='} {given[key]}"
        for key, sign in bounds
        if given.get(key) is not None
    ]
    if not parts:
        raise NotKnown("it has no bound")
    return {"expression": " and ".join(parts), "where": f"{column} is not null"}


def _unique_together(test: Test) -> dict[str, Any]:
    columns = test.arguments.get("combination_of_columns", test.arguments.get("column_list"))
    if not columns:
        raise NotKnown("it names no columns")
    return {"unique": [str(name) for name in columns]}


def _rows(test: Test) -> dict[str, Any]:
    pairs = {"min": test.arguments.get("min_value"), "max": test.arguments.get("max_value")}
    bounds = {key: value for key, value in pairs.items() if isinstance(value, int)}
    if not bounds or test.arguments.get("group_by"):
        raise NotKnown("it is no plain number of rows")
    return {"row_count": bounds}


def _in_set(test: Test) -> dict[str, Any]:
    values = list(_given(test, "value_set"))
    return {"accepted_values": {"column": _column(test), "values": values}}


def _not_empty(test: Test) -> dict[str, Any]:
    column = _column(test)
    text = column if test.arguments.get("trim_whitespace", True) is False else f"trim({column})"
    return {"expression": f"{text} <> ''", "where": f"{column} is not null"}


_TURNED: dict[str, Callable[[Test], dict[str, Any]]] = {
    "not_null": lambda test: {"not_null": [_column(test)]},
    "unique": lambda test: {"unique": [_column(test)]},
    "accepted_values": _accepted,
    "relationships": _relationship,
    "dbt_utils.expression_is_true": _true,
    "dbt_utils.accepted_range": _range,
    "dbt_utils.unique_combination_of_columns": _unique_together,
    "dbt_utils.relationships_where": _relationship_where,
    "dbt_utils.not_empty_string": _not_empty,
    "dbt_expectations.expect_column_values_to_not_be_null": lambda test: {"not_null": [_column(test)]},
    "dbt_expectations.expect_column_values_to_be_unique": lambda test: {"unique": [_column(test)]},
    "dbt_expectations.expect_column_values_to_be_in_set": _in_set,
    "dbt_expectations.expect_column_values_to_be_between": _range,
    "dbt_expectations.expect_compound_columns_to_be_unique": _unique_together,
    "dbt_expectations.expect_table_row_count_to_be_between": _rows,
}
"""The tests that are checks of our own, by their name in dbt."""
