"""Compile the macros of a dbt project, and find them by package and adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import SandboxedEnvironment

from dli.dbt.sql.values import Members, NotKnown, Returned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.environment import Template
    from jinja2.parser import Parser

_PREFIX = "dbt_macro__"
PARENTS = {"redshift": "postgres", "databricks": "spark"}
"""The adapter whose macros another one takes where it has none."""
MAX_CALLS = 60
"""Maximum depth of macros that call each other."""


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
        if isinstance(obj, Members):
            return obj.member(attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Members):
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


class _Package(Members):
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
        except Returned as returned:
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
        prefixes = (self.adapter, PARENTS.get(self.adapter), "default")
        owners = dict.fromkeys(
            (self.root, macro_namespace or self.caller, self.caller, f"dbt_{self.adapter}", "dbt")
        )
        for prefix in filter(None, prefixes):
            for owner in owners:
                if (found := self.find(owner, f"{prefix}__{name}")) is not None:
                    return found
        raise NotKnown(f"the macro '{name}' has no variant for {self.adapter}")
