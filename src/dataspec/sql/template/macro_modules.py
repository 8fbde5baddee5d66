"""Run the macro files that a template imports: once in a rendering, with no variable of the template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2.runtime import Macro
from jinja2.utils import concat

from dataspec.sql.template.operations import SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Template

    from dataspec.sql.values.binding import Slots

MODULES = "_dli_modules"
"""The variable of a rendering that holds its :class:`MacroModules`."""


class MacroModule:
    """The macros and constants of one macro file."""

    __slots__ = ("_members", "_path")

    def __init__(self, path: str, members: Mapping[str, Any]) -> None:
        self._path = path
        self._members = members

    def member(self, name: str) -> Any:
        """Return a macro or a constant by its name.

        Raises:
            LookupError: When the file has none of that name.
        """
        if name not in self._members:
            raise LookupError(f"there is no macro '{name}' in '{self._path}'")
        return self._members[name]


class MacroModules:
    """The macro files of one rendering, each run when it is first imported.

    Args:
        files: The text of each macro file and seed, by its path in the project.
        slots: The slots of the rendering, which count what a macro file does as well.
        compiled: Compiles a macro file, given its text and its path.
        dialect: The SQL dialect, by sqlglot's name; None where it is unknown.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        slots: Slots,
        compiled: Callable[[str, str], Template],
        dialect: str | None,
    ) -> None:
        self.files = files
        self.dialect = dialect
        self._slots = slots
        self._compiled = compiled
        self._modules: dict[str, MacroModule | None] = {}

    def module(self, path: str) -> MacroModule:
        """Return a macro file's module.

        Raises:
            LookupError: When there is no such file, or it imports itself.
        """
        if path not in self._modules:
            self._modules[path] = None
            self._modules[path] = self._run(path)
        module = self._modules[path]
        if module is None:
            raise LookupError(f"the macro file '{path}' imports itself")
        return module

    def _run(self, path: str) -> MacroModule:
        if path not in self.files:
            raise LookupError(f"there is no macro file '{path}'")
        template = self._compiled(self.files[path], path)
        context = template.new_context({SLOTS: self._slots, MODULES: self})
        concat(template.root_render_func(context))
        members = context.get_exported()
        return MacroModule(
            path, {name: of for name, of in members.items() if not isinstance(of, MacroModule)}
        )


def is_macro(value: Any) -> bool:
    """Tell whether a value is a macro, of a macro file or of the template itself."""
    return isinstance(value, Macro)
