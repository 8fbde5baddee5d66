"""Check how a template calls macros: their names, the number of arguments, and calls without an end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jinja2 import nodes

from dataspec.problems import Problem, nearest
from dataspec.sql.template.syntax import imports_in, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Column = Callable[[str, int], int | None]
    """Returns the column of a word on a line."""

_ASKING = ("defined", "undefined")
_MORE = ("varargs", "kwargs")


class Module(Protocol):
    """What an imported name holds."""

    @property
    def members(self) -> Mapping[str, Signature | None] | None:
        """The arguments of each macro, None for a constant; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a macro."""

    name: str
    line: int
    arguments: tuple[str, ...]
    needed: frozenset[str]
    """The arguments without a default that the macro does not ask for by ``is defined``."""
    takes_more: bool
    """Whether it uses ``varargs`` or ``kwargs``."""
    file: str = ""
    """The macro file; empty for a macro of the template itself."""

    @property
    def place(self) -> str:
        """Where it is defined, for a message."""
        return f"{self.file}:{self.line}" if self.file else f"line {self.line}"


def signature_of(node: nodes.Macro) -> Signature:
    """Return the arguments of a macro."""
    arguments = tuple(argument.name for argument in node.args)
    asked = {
        test.node.name
        for test in node.find_all((nodes.Test, nodes.Filter))
        if isinstance(test.node, nodes.Name) and test.name in {*_ASKING, "default", "d"}
    }
    without_default = arguments[: len(arguments) - len(node.defaults)]
    names = {name.name for name in node.find_all(nodes.Name)}
    return Signature(
        node.name, node.lineno, arguments, frozenset(without_default) - asked, not names.isdisjoint(_MORE)
    )


def calls_in(
    tree: nodes.Template,
    modules: Mapping[str, Module],
    macros: Mapping[str, Signature | None],
    column: Column,
) -> Iterator[Problem]:
    """Yield a problem for each use of a macro that its file does not have, and each call with wrong arguments.

    Names that a template gives another meaning as well are not checked.

    Args:
        tree: The template.
        modules: The imported files, by the name in the template.
        macros: The macros by the name in the template; None for what is no macro.
        column: Returns the column of a word on a line.
    """
    bound = _times_bound(tree)
    for found in tree.find_all(nodes.Getattr):
        owner, members = _module(found, modules, bound)
        if members is not None and found.attr not in members:
            hint = nearest(found.attr, members) or f"It has {', '.join(members) or 'none'}."
            message = f"there is no macro '{found.attr}' in '{owner}'."
            yield Problem(message, "", found.lineno, column(f"{owner}.{found.attr}", found.lineno), hint)
    for call in tree.find_all(nodes.Call):
        callee, name, signature = call.node, "", None
        if isinstance(callee, nodes.Name) and bound[callee.name] == 1:
            name, signature = callee.name, macros.get(callee.name)
        elif isinstance(callee, nodes.Getattr):
            owner, members = _module(callee, modules, bound)
            name, signature = f"{owner}.{callee.attr}", (members or {}).get(callee.attr)
        if signature is not None and (wrong := _wrong_arguments(call, signature)):
            message = f"the macro '{name}' {wrong}. It is defined in {signature.place}."
            yield Problem(message, "", call.lineno, column(name, call.lineno))


def _module(
    found: nodes.Getattr, modules: Mapping[str, Module], bound: Counter[str]
) -> tuple[str, Mapping[str, Signature | None] | None]:
    """Return the imported name that an attribute is read of, and what it holds, where that is known."""
    node = found.node
    if not isinstance(node, nodes.Name) or bound[node.name] != 1 or node.name not in modules:
        return "", None
    return node.name, modules[node.name].members


def _times_bound(tree: nodes.Template) -> Counter[str]:
    """Return how often each name gets a meaning in a template."""
    bound = Counter(name.name for name in tree.find_all(nodes.Name) if name.ctx != "load")
    bound.update(node.name for node in tree.find_all(nodes.Macro))
    for node in imports_in(tree):
        bound.update(
            [node.target] if isinstance(node, nodes.Import) else [name for _, name in names_of(node)]
        )
    return bound


def _wrong_arguments(call: nodes.Call, macro: Signature) -> str | None:
    """Return what is wrong with the arguments of a call; None where they fit or are not known."""
    if call.dyn_args is not None or call.dyn_kwargs is not None:
        return None
    named = [argument.key for argument in call.kwargs]
    takes = f"takes {_counted(len(macro.arguments))}" + (
        f" ({', '.join(macro.arguments)})" if macro.arguments else ""
    )
    if not macro.takes_more:
        if len(call.args) > len(macro.arguments):
            return f"{takes}, and gets {len(call.args)}"
        if unknown := next((name for name in named if name not in macro.arguments), None):
            return f"has no argument '{unknown}'; it {takes}"
    given = {*macro.arguments[: len(call.args)], *named}
    if twice := next((name for name in named if name in macro.arguments[: len(call.args)]), None):
        return f"gets '{twice}' twice"
    if macro.file and (missing := [name for name in macro.arguments if name in macro.needed - given]):
        return f"{takes}, and does not get {', '.join(missing)}"
    return None


def _counted(number: int) -> str:
    return f"{number or 'no'} argument{'' if number == 1 else 's'}"


def endless_macros(tree: nodes.Template, column: Column) -> Iterator[Problem]:
    """Yield a problem for each macro that calls itself under no condition, directly or through others."""
    macros = {node.name: node for node in tree.find_all(nodes.Macro)}
    calls = {
        name: [called for part in node.body for called in _always_called(part) if called in macros]
        for name, node in macros.items()
    }
    for name, node in macros.items():
        seen, waiting = set(), list(calls[name])
        while waiting:
            called = waiting.pop()
            if called not in seen:
                seen.add(called)
                waiting += calls[called]
        if name in seen:
            through = "" if name in calls[name] else f" through '{calls[name][0]}'"
            message = f"the macro '{name}' calls itself{through} without an end."
            yield Problem(message, "", node.lineno, column(name, node.lineno), "Call it within {% if %}.")


def _always_called(node: nodes.Node) -> Iterator[str]:
    """Yield the names that a node calls whenever it is evaluated."""
    if isinstance(node, nodes.Macro):
        return
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
        yield node.node.name
    for kind, field in _FIRST_EVALUATED:
        if isinstance(node, kind):
            yield from _always_called(getattr(node, field))
            return
    for child in node.iter_child_nodes():
        yield from _always_called(child)


_FIRST_EVALUATED: tuple[tuple[type[nodes.Node], str], ...] = (
    (nodes.If, "test"),
    (nodes.CondExpr, "test"),
    (nodes.For, "iter"),
    (nodes.And, "left"),
    (nodes.Or, "left"),
)
"""The part of a node that is always evaluated, where the others may not be."""
