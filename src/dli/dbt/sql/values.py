"""The values that dbt gives its templates, as far as they are known without dbt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dli.dbt.sql.renderer import Renderer

THIS = "\ue000"
"""Stands for ``{{ this }}`` in rendered text."""
START, END = "\ue001", "\ue002"
"""Stand for ``{{ partition_start }}`` and ``{{ partition_end }}``."""


class NotKnown(Exception):
    """A template needs what only dbt or the database knows."""


class Returned(Exception):
    """What a macro returns by ``return()``."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Unknown:
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
    """A table as text, with the parts of its name, which macros read."""

    __slots__ = ()

    def _part(self, number: int) -> str:
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


class This(Relation):
    """``this``: its text is a mark, its parts are those of the node's table."""

    renderer: Renderer

    def _part(self, number: int) -> str:
        parts = self.renderer.table.split(".")
        return parts[-number] if len(parts) >= number else ""


class Members:
    """A name whose members templates read, such as ``target.type``."""

    def member(self, name: str) -> Any:
        """Return a member.

        Raises:
            NotKnown: When it is not known.
        """
        raise NotImplementedError


class Target(Members):
    """``target``: its type and schema are known, and its name if the user gave it; the rest is in dbt's profile."""

    def __init__(self, adapter: str, schema: str, name: str | None) -> None:
        self._known = {
            "type": adapter,
            "schema": schema,
            "dataset": schema,
            **({"name": name} if name else {}),
        }

    def member(self, name: str) -> str:
        """Return a member of ``target``."""
        if name not in self._known:
            hint = ": give it by --target" if name == "name" else ""
            raise NotKnown(f"'target.{name}' is in dbt's profile{hint}")
        return self._known[name]
