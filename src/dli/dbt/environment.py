"""Render dbt's Jinja without dbt: what needs the database or dbt's profile is refused by name."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import StrictUndefined, TemplateError, UndefinedError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import SandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.environment import Template
    from jinja2.parser import Parser

THIS = "\ue000"
"""Stands for ``{{ this }}`` in rendered text."""
_PREFIX = "dbt_macro__"
_PARENTS = {"redshift": "postgres", "databricks": "spark"}
"""The adapter whose macros another one takes where it has none."""
_COMMON_TYPES = {"string": "TEXT", "integer": "INT"}
_TYPES = {
    "bigquery": {"string": "STRING", "float": "FLOAT64", "integer": "INT64", "boolean": "BOOL"},
    "spark": {"string": "STRING"},
    "clickhouse": {"string": "String", "integer": "Int32", "float": "Float32", "boolean": "Bool"},
}
"""What ``api.Column.translate_type`` of an adapter changes."""
MAX_CALLS = 60
"""Maximum depth of macros that call each other."""


class NotKnown(Exception):
    """A template needs what only dbt or the database knows."""


class _Returned(Exception):
    """What a macro returns by ``return()``."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class _Unknown:
    """A name of dbt whose value is not known here: any use is refused."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"jinja_pass_arg", "unsafe_callable", "alters_data"}:
            raise AttributeError(name)
        return self._refuse()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotKnown(self._reason)

    __call__ = __bool__ = __str__ = __iter__ = __getitem__ = __eq__ = __len__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class Relation(str):
    """A table's name, with the attributes that macros read of it."""

    __slots__ = ()

    def _part(self, number: int) -> str:
        if self == THIS:
            raise NotKnown("it takes the name of its table apart")
        parts = self.split(".")
        return parts[-number] if len(parts) >= number else ""

    @property
    def identifier(self) -> str:
        """The name without the schema."""
        return self._part(1)

    name = table = identifier

    @property
    def schema(self) -> str:
        """The schema."""
        return self._part(2)

    @property
    def database(self) -> str:
        """The catalog."""
        return self._part(3)


class _DbtBlocks(Extension):
    """Read generic tests as macros, and leave out the blocks of dbt that are no SQL of a model."""

    tags = {"test", "data_test", "materialization", "snapshot", "docs"}  # noqa: RUF012 - Jinja's signature

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """Parse one block."""
        token = next(parser.stream)
        ends = (f"name:end{token.value}",)
        if token.value in {"test", "data_test"}:
            node = nodes.Macro(lineno=token.lineno)
            node.name = f"test_{parser.parse_assign_target(name_only=True).name}"
            parser.parse_signature(node)
            node.body = parser.parse_statements((*ends, "name:endtest"), drop_needle=True)
            return node
        while parser.stream.current.type != "block_end":
            next(parser.stream)
        parser.parse_statements(ends, drop_needle=True)
        return []


class _Environment(SandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, _Package | _Target):
            return obj.member(attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, _Package | _Target):
            return obj.member(str(argument))
        return super().getitem(obj, argument)


def new_environment() -> SandboxedEnvironment:
    """Return an environment that parses dbt's templates."""
    environment = _Environment(
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols", _DbtBlocks],
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    same = {name: lambda value: value for name in ("as_text", "as_bool", "as_native", "as_number")}
    environment.filters.update(same)
    return environment


class _Target:
    """``target``: its type and schema are known; the rest is in dbt's profile."""

    def __init__(self, adapter: str, schema: str) -> None:
        self._known = {"type": adapter, "schema": schema, "dataset": schema}

    def member(self, name: str) -> str:
        if name not in self._known:
            raise NotKnown(f"'target.{name}' is in dbt's profile")
        return self._known[name]


class _Package:
    """The macros of a package, as ``dbt_utils.star``."""

    def __init__(self, name: str, macros: Macros) -> None:
        self._name = name
        self._macros = macros

    def member(self, name: str) -> Any:
        macro = self._macros.find(self._name, name)
        if macro is None:
            raise NotKnown(f"the macro '{self._name}.{name}' is not there")
        return macro


class _Macro:
    """A macro of dbt: what it returns by ``return()`` is its value."""

    def __init__(self, macros: Macros, package: str, file: str, name: str) -> None:
        self._macros = macros
        self.package = package
        self.file = file
        self.name = name

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self._macros.depth >= MAX_CALLS:
            raise NotKnown(f"the macro '{self.name}' calls itself without an end")
        self._macros.depth += 1
        self._macros.called.add((self.package, self.name))
        caller, self._macros.caller = self._macros.caller, self.package
        try:
            return getattr(self._macros.module(self.package, self.file), _PREFIX + self.name)(*args, **named)
        except _Returned as returned:
            return returned.value
        finally:
            self._macros.depth -= 1
            self._macros.caller = caller


class Macros:
    """The macros of a dbt project and its packages.

    Args:
        sources: The text of each macro file, by package and file.
        adapter: The type of dbt's adapter, such as ``duckdb``.
        root: The project's own package.
    """

    def __init__(self, sources: Mapping[tuple[str, str], str], adapter: str, root: str) -> None:
        self.environment = new_environment()
        self.adapter = adapter
        self.root = root
        self.depth = 0
        self.caller = root
        self.called: set[tuple[str, str]] = set()
        """The macros that were called: package and name."""
        self.broken: dict[str, tuple[int, str]] = {}
        """The files that are no templates: the line and the reason, by file."""
        self.builtins: dict[str, Any] = {}
        self._trees: dict[tuple[str, str], nodes.Template] = {}
        self._modules: dict[tuple[str, str], Any] = {}
        self._found: dict[tuple[str, str], _Macro] = {}
        self._globals: dict[str, dict[str, Any]] = {}
        for (package, file), text in sources.items():
            self._read(package, file, text)

    def _read(self, package: str, file: str, text: str) -> None:
        try:
            tree = self.environment.parse(text)
        except TemplateError as error:
            self.broken[file] = getattr(error, "lineno", None) or 1, str(error)
            return
        self._trees[package, file] = tree
        for node in tree.find_all(nodes.Macro):
            self._found[package, node.name] = _Macro(self, package, file, node.name)
            node.name = _PREFIX + node.name

    def find(self, package: str, name: str) -> _Macro | None:
        """Return a macro of a package; None if it has none of that name."""
        return self._found.get((package, name))

    def of(self, package: str) -> Iterator[_Macro]:
        """Yield the macros of a package."""
        return (macro for (owner, _), macro in self._found.items() if owner == package)

    def module(self, package: str, file: str) -> Any:
        """Return a macro file as a module."""
        key = package, file
        if key not in self._modules:
            template = self._compiled(self._trees[key], package)
            self._modules[key] = template.make_module()
        return self._modules[key]

    def template(self, text: str, package: str) -> Template:
        """Compile a template that sees what a package sees."""
        return self._compiled(self.environment.parse(text), package)

    def _compiled(self, tree: nodes.Template, package: str) -> Template:
        code = self.environment.compile(tree)
        return self.environment.template_class.from_code(self.environment, code, self.globals(package))

    def globals(self, package: str) -> dict[str, Any]:
        """Return the names that the templates of a package see: its macros before the project's and dbt's."""
        if package not in self._globals:
            seen = {**self.environment.globals, **self.builtins}
            seen |= {owner: _Package(owner, self) for owner, _ in self._found}
            for owner in ("dbt", f"dbt_{self.adapter}", self.root, package):
                seen |= {macro.name: macro for macro in self.of(owner) if macro.name not in self.builtins}
            self._globals[package] = seen
        return self._globals[package]

    def dispatch(self, name: str, macro_namespace: str | None = None, packages: Any = None) -> _Macro:  # noqa: ARG002
        """Return the macro for the adapter, as ``adapter.dispatch`` does."""
        prefixes = (self.adapter, _PARENTS.get(self.adapter), "default")
        owners = dict.fromkeys(
            (self.root, macro_namespace or self.caller, self.caller, f"dbt_{self.adapter}", "dbt")
        )
        for prefix in filter(None, prefixes):
            for owner in owners:
                if (found := self.find(owner, f"{prefix}__{name}")) is not None:
                    return found
        raise NotKnown(f"the macro '{name}' has no variant for {self.adapter}")


class Names:
    """What templates ask dbt for: tables and variables. Refuses what is not known."""

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

    def __init__(self, macros: Macros, names: Names, schema: str) -> None:
        self.macros = macros
        self._names = names
        self._schema = schema
        self.package = macros.root
        self.config: dict[str, Any] = {}
        """The configuration of the node, with what ``config()`` of the rendered text adds."""
        self.tables: dict[str, None] = {}
        """The tables that the rendered texts name."""
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
        except _Returned as returned:
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
            name: _Unknown(f"'{name}' asks the database")
            for name in ("execute", "run_query", "statement", "load_result", "graph", "model", "write")
        }
        late = {
            name: _Unknown(f"'{name}' is known to a run of dbt alone")
            for name in (
                "invocation_id",
                "run_started_at",
                "flags",
                "modules",
                "dbt_metadata_envs",
                "selected_resources",
            )
        }
        own = {
            "ref": self._ref,
            "source": self._source,
            "var": _Var(self),
            "env_var": _env_var,
            "config": self._config,
            "this": Relation(THIS),
            "target": _Target(self.macros.adapter, self._schema),
            "is_incremental": self._is_incremental,
            "should_full_refresh": lambda: False,
            "adapter": _Adapter(self.macros),
            "exceptions": SimpleNamespace(
                raise_compiler_error=_raise, raise_not_implemented=_raise, warn=_nothing
            ),
            "api": SimpleNamespace(
                Column=SimpleNamespace(translate_type=self._type),
                Relation=_Unknown("'api.Relation' asks the database"),
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
            return self._names.var(name, self.macros.caller)
        except KeyError:
            if default is _NO_DEFAULT:
                raise NotKnown(f"the variable '{name}' has no value: give it by --vars") from None
            return default

    def _type(self, kind: str) -> str:
        """Return the adapter's name of a type that dbt names for all adapters."""
        types = _TYPES.get(
            self.macros.adapter, _TYPES.get(_PARENTS.get(self.macros.adapter, ""), _COMMON_TYPES)
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
        return Relation(table)

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


def _return(value: Any = None) -> NoReturn:
    raise _Returned(value)


def _raise(message: str = "", *_: Any) -> NoReturn:
    raise NotKnown(f"a macro refuses it: {message}")


def _nothing(*_: Any, **__: Any) -> str:
    return ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
