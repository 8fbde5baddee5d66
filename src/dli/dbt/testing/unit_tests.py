"""Turn dbt's unit tests into ``tests``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dataspec.isolation import restart_clock
from dli.dbt.source.properties import Placed, entries
from dli.dbt.specs import Row
from dli.dbt.sql.values import THIS, NotKnown

if TYPE_CHECKING:
    from dli.dbt.source.project import Package
    from dli.dbt.turning import Turning

_CALL = re.compile(r"(?:ref|source)\s*\(.*\)", re.DOTALL)
_NO_NAME = re.compile(r"[^A-Za-z0-9_.\-]")


def turn_unit_tests(turning: Turning) -> None:
    """Turn the unit tests of a project."""
    by_model = {one.node.name: one for one in turning.outcome.datasets.values() if one.node.kind == "model"}
    for package, entry in turning.project.unit_tests:
        restart_clock()
        turning.outcome.found["unit tests"] += 1
        name, dataset = str(entry.get("name")), by_model.get(str(entry.get("model")))
        reason = f"its model '{entry.get('model')}' is not there"
        try:
            if dataset is not None:
                dataset.tests.append(_test(entry, name, package, turning))
                continue
        except NotKnown as error:
            reason = str(error)
        turning.outcome.lose("unit tests", entry.problem(f"the unit test '{name}' was not turned: {reason}."))


def _test(entry: Placed, name: str, package: Package, turning: Turning) -> dict[str, Any]:
    overrides = entry.get("overrides") or {}
    macros = overrides.get("macros") or {}
    if overrides.get("vars") or overrides.get("env_vars") or macros.keys() - {"is_incremental"}:
        raise NotKnown("'overrides' of variables and macros have no counterpart")
    given = {}
    for one in entries(entry.get("given")):
        table = _table(str(one.get("input")), package, turning)
        if table != "this" or macros.get("is_incremental"):
            given[table] = _rows(one, package)
    if macros.get("is_incremental") and "this" not in given:
        raise NotKnown("it gives no rows for 'this'")
    found = {
        "name": _NO_NAME.sub("_", name)[:100],
        "description": str(entry.get("description") or "").strip(),
        "given": given,
        "expect": _rows(entry.get("expect"), package),
    }
    return {key: value for key, value in found.items() if value != "" or key == "expect"}


def _table(text: str, package: Package, turning: Turning) -> str:
    if text.strip() == "this":
        return "this"
    if not _CALL.fullmatch(text.strip()):
        raise NotKnown(f"the input '{text}' is no ref() or source()")
    found = turning.renderer.render(f"{{{{ {text} }}}}", package=package.name)
    return "this" if found == THIS else found


def _rows(found: Any, package: Package) -> Any:
    """Return the rows of a fixture: YAML rows, or the text of CSV."""
    if not isinstance(found, Placed):
        raise NotKnown("a fixture is missing")
    form = str(found.get("format") or "dict")
    if form == "sql":
        raise NotKnown("a fixture of SQL has no counterpart: give rows, or CSV")
    if (name := found.get("fixture")) is not None:
        return _fixture(str(name), package)
    rows = found.get("rows")
    if form == "csv":
        return str(rows or "").strip() + "\n"
    return [_plain(row) for row in rows or ()]


def _fixture(name: str, package: Package) -> str:
    for folder in package.folders("test"):
        path = folder / "fixtures" / f"{name.removesuffix('.csv')}.csv"
        if path.is_file():
            return path.read_text(encoding="utf-8-sig").strip() + "\n"
    raise NotKnown(f"there is no fixture '{name}'")


def _plain(row: Any) -> Row:
    if not isinstance(row, dict) or not row:
        raise NotKnown("a row is no mapping of columns")
    return Row(row)
