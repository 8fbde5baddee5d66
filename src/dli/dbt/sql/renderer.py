"""Render dbt's Jinja without dbt: what needs the database or dbt's profile is refused by name."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import UndefinedError

from dli.dbt.sql.macros import PARENTS
from dli.dbt.sql.values import END, START, THIS, NotKnown, Relation, Returned, Target, This, Unknown

if TYPE_CHECKING:
    from dli.dbt.sql.macros import Macros

_COMMON_TYPES = {"string": "TEXT", "integer": "INT"}
_TYPES = {
    "bigquery": {"string": "STRING", "float": "FLOAT64", "integer": "INT64", "boolean": "BOOL"},
    "spark": {"string": "STRING"},
    "clickhouse": {"string": "String", "integer": "Int32", "float": "Float32", "boolean": "Bool"},
}
"""What ``api.Column.translate_type`` of an adapter changes."""


class Names:
    """What templates ask dbt for: tables and variables. Refuses what is not known."""

    event_times: dict[str, str]
    """The column with the time of a row, by table; of those that name one."""

    def table_of(self, package: str, name: str, version: str | None) -> str:
        """Return the table of a model or seed; ``package`` may be empty."""
        raise NotImplementedError

    def source(self, name: str, table: str) -> str:
        """Return the table of a source."""
        raise NotImplementedError

    def var(self, name: str, package: str) -> Any:
        """Return a variable.

        Raises:
            KeyError: When it has no value.
        """
        raise NotImplementedError


_NO_DEFAULT = object()


class Renderer:
    """Renders templates of a dbt project, as far as that needs neither dbt nor the database."""

    def __init__(self, macros: Macros, names: Names, target: Target) -> None:
        self.macros = macros
        self._names = names
        self._target = target
        self.package = macros.root
        self.config: dict[str, Any] = {}
        """The configuration of the node, with what ``config()`` of the rendered text adds."""
        self.tables: dict[str, None] = {}
        """The tables that the rendered texts name."""
        self.table = ""
        """The table of the node, of which ``this.schema`` is a part."""
        self.by_partition = False
        """Whether the tables that name the time of a row are read for the partition of a run alone."""
        self.own_table: str | None = None
        """The table that is written as ``{{ this }}``."""
        self.incremental = False
        self.asked_incremental = False
        macros.builtins = self._builtins()

    def render(self, text: str, *, package: str, incremental: bool = False, **variables: Any) -> str:
        """Render a template.

        Args:
            text: The template.
            package: The package whose macros and variables it sees.
            incremental: The value of ``is_incremental()``.
            variables: Further names that it sees.

        Raises:
            NotKnown: With the reason, where it needs dbt or the database.
        """
        self.package, self.incremental = package, incremental
        self.macros.caller, self.macros.depth = package, 0
        try:
            return self.macros.template(text, package).render(**variables)
        except NotKnown:
            raise
        except Returned as returned:
            return str(returned.value)
        except RecursionError:
            raise NotKnown("it is nested too deep") from None
        except UndefinedError as error:
            raise NotKnown(f"{error}; it may be a package that is not installed") from None
        except Exception as error:  # noqa: BLE001 - a template may fail in any way
            raise NotKnown(f"Jinja says: {error}") from None

    @cached_property
    def _config(self) -> Any:
        return _Config(self)

    def _builtins(self) -> dict[str, Any]:
        asks = {
            name: Unknown(f"'{name}' asks the database")
            for name in ("execute", "run_query", "statement", "load_result", "graph", "model", "write")
        }
        late = {
            name: Unknown(f"'{name}' is known to a run of dbt alone")
            for name in (
                "invocation_id",
                "run_started_at",
                "flags",
                "modules",
                "dbt_metadata_envs",
                "selected_resources",
            )
        }
        this = This(THIS)
        this.renderer = self
        own = {
            "ref": self._ref,
            "source": self._source,
            "var": _Var(self),
            "env_var": _env_var,
            "config": self._config,
            "this": this,
            "target": self._target,
            "is_incremental": self._is_incremental,
            "should_full_refresh": lambda: False,
            "adapter": _Adapter(self.macros),
            "exceptions": SimpleNamespace(
                raise_compiler_error=_raise, raise_not_implemented=_raise, warn=_nothing
            ),
            "api": SimpleNamespace(
                Column=SimpleNamespace(
                    translate_type=self._type, numeric_type=_numeric_type, string_type=_string_type
                ),
                Relation=Unknown("'api.Relation' asks the database"),
            ),
            "return": _return,
            "log": _nothing,
            "print": _nothing,
            "dbt_version": "1.11.0",
            "project_name": self.macros.root,
            "builtins": SimpleNamespace(ref=self._ref, source=self._source, config=self._config),
            "fromjson": json.loads,
            "tojson": json.dumps,
            "set": set,
            "zip": zip,
            "local_md5": _md5,
        }
        return {**asks, **late, **own}

    def var(self, name: str, default: Any = _NO_DEFAULT) -> Any:
        """Return a variable of dbt_project.yml or the command line."""
        try:
            found = self._names.var(name, self.macros.caller)
        except KeyError:
            if default is _NO_DEFAULT:
                raise NotKnown(f"the variable '{name}' has no value: give it by --vars") from None
            return default
        if isinstance(found, str) and "{{" in found:
            return self.macros.template(found, self.macros.root).render()
        return found

    def _type(self, kind: str) -> str:
        """Return the adapter's name of a type that dbt names for all adapters."""
        types = _TYPES.get(
            self.macros.adapter, _TYPES.get(PARENTS.get(self.macros.adapter, ""), _COMMON_TYPES)
        )
        return types.get(kind.lower(), kind)

    def _ref(self, *named: str, v: Any = None, version: Any = None) -> Relation:
        number = v if v is not None else version
        package = named[0] if len(named) > 1 else ""
        return self._named(self._names.table_of(package, named[-1], None if number is None else str(number)))

    def _source(self, name: str, table: str) -> Relation:
        return self._named(self._names.source(name, table))

    def _named(self, table: str) -> Relation:
        if table == self.own_table:
            return Relation(THIS)
        self.tables[table] = None
        column = self._names.event_times.get(table) if self.by_partition else None
        if column is None:
            return Relation(table)
        bounds = f"{column} >= cast('{START}' as timestamp) and {column} < cast('{END}' as timestamp)"
        return Relation(f"(select * from {table} where {bounds})")

    def _is_incremental(self) -> bool:
        self.asked_incremental = True
        return self.incremental


class _Config:
    """``config``: called in a template it sets values; ``get`` reads them."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __call__(self, *given: Any, **values: Any) -> str:
        self._renderer.config.update(*given, **values)
        return ""

    def get(self, name: str, default: Any = None, **_: Any) -> Any:
        """Return a value of the configuration."""
        return self._renderer.config.get(name, default)

    require = meta_get = get


class _Var:
    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __call__(self, name: str, default: Any = _NO_DEFAULT) -> Any:
        return self._renderer.var(name, default)

    def has_var(self, name: str) -> bool:
        """Whether a variable has a value."""
        return self._renderer.var(name, None) is not None


class _Adapter:
    def __init__(self, macros: Macros) -> None:
        self.dispatch = macros.dispatch
        self._mark = "`" if macros.adapter in {"bigquery", "spark", "databricks", "clickhouse"} else '"'

    def quote(self, name: str) -> str:
        """Return a name in the quotes of the engine."""
        return f"{self._mark}{name}{self._mark}"

    def type(self) -> NoReturn:
        """Refuse it."""
        raise NotKnown("'adapter.type' asks dbt's adapter")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotKnown(f"'adapter.{name}' asks the database")


def _env_var(name: str, default: Any = _NO_DEFAULT) -> Any:
    if default is _NO_DEFAULT:
        raise NotKnown(f"the environment variable '{name}' has no default")
    return default


def _numeric_type(kind: str, precision: Any, scale: Any) -> str:
    return kind if precision is None or scale is None else f"{kind}({precision},{scale})"


def _string_type(size: int) -> str:
    return f"character varying({size})"


def _return(value: Any = None) -> NoReturn:
    raise Returned(value)


def _raise(message: str = "", *_: Any) -> NoReturn:
    raise NotKnown(f"a macro refuses it: {message}")


def _nothing(*_: Any, **__: Any) -> str:
    return ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
