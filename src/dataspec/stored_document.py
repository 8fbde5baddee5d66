"""Read and write the JSON objects that this program keeps in the store: one rule for formats, errors and unknown keys.

Each kind of object is a model with a ``format``. A format is increased when an older version could not read an object
rightly; a key that older versions may ignore is just added (``docs/server.md``, "Upgrading and downgrading").
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Protocol, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, ValidationError

from dataspec.errors import CorruptObject, NewerFormat
from dataspec.problems import shortened


def _moment(value: Any) -> datetime:
    """Return a time; refuse numbers, which pydantic reads as seconds since 1970."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    raise ValueError("not a time")


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
"""A time with its offset from UTC, as ISO text in the object."""


class StoredContent(Protocol):
    """An object of a store as it was read."""

    @property
    def key(self) -> str:
        """Its key."""
        ...

    @property
    def body(self) -> bytes:
        """Its content."""
        ...


class StoredPart(BaseModel):
    """A part of a stored object. Keys that this version does not know are kept when the object is written again."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    def changed(self, **changes: Any) -> Self:
        """Return a copy with other values, which are not checked again."""
        copy = self.model_copy(update=changes)
        for name in vars(copy).keys() - type(self).model_fields.keys():
            del vars(copy)[name]  # a cached property of the original
        return copy


class StoredDocument(StoredPart):
    """An object in the store, as JSON."""

    FORMAT: ClassVar[int] = 1
    """The newest format that this version reads."""
    format: int = 1
    """The format of this object; 1 for an object without one."""

    @classmethod
    def read(cls, stored: StoredContent) -> Self:
        """Parse an object.

        Raises:
            NewerFormat: When a newer version of this program wrote it.
            CorruptObject: When it can't be read.
        """
        return cls._made_of(cls._values(stored), stored.key)

    @classmethod
    def _values(cls, stored: StoredContent) -> dict[str, Any]:
        """Return an object's JSON values; raise the errors of :meth:`read`."""
        data = _json_object(stored)
        _check_format(data, stored.key, newest=cls.FORMAT)
        return data

    @classmethod
    def _made_of(cls, values: dict[str, Any], key: str) -> Self:
        """Return the document of JSON values; raise CorruptObject for others."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise CorruptObject(key, _first_problem(error)) from None

    @classmethod
    def is_newer(cls, stored: StoredContent) -> bool:
        """Tell whether a newer version wrote the object: this version neither replaces nor removes it."""
        try:
            cls._values(stored)
        except NewerFormat:
            return True
        except CorruptObject:
            return False
        return False

    def to_json(self) -> dict[str, Any]:
        """Return the object as JSON values for :meth:`read`."""
        return self.model_dump(mode="json", by_alias=True)

    def body(self) -> bytes:
        """Return the object's content for :meth:`read`."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()


def _check_format(data: dict[str, Any], key: str, *, newest: int) -> None:
    found = data.get("format", 1)
    if type(found) is not int or found < 1:
        raise CorruptObject(key, "its format is not a number")
    if found > newest:
        raise NewerFormat(key, found, newest)


def _json_object(stored: StoredContent) -> dict[str, Any]:
    try:
        data = json.loads(stored.body)
    except (ValueError, RecursionError) as error:
        raise CorruptObject(stored.key, f"it is not JSON: {shortened(str(error))}") from None
    if not isinstance(data, dict):
        raise CorruptObject(stored.key, "it is not a JSON object")
    return data


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return shortened(": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"]))))
