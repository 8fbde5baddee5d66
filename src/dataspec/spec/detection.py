"""Dataset Specs told apart from other YAML files, before they are checked.

Loads no model of the spec: most commands that look for a dataset need no more than its name.
"""

from __future__ import annotations

import re

from dataspec.errors import InvalidSpec
from dataspec.spec.names import DEFAULT_CONNECTION
from dataspec.spec.yaml_reader import Document, read_document

_TYPE_LINE = re.compile(rb"""^[^\S\n]*["']?type["']?\s*:\s*["']?Dataset\b""", re.MULTILINE)


def is_dataset_document(body: bytes) -> bool:
    """Tell whether a YAML file means to be a Dataset Spec: one whose ``type`` is ``Dataset``.

    A file with that line that can't be read counts as well: a broken spec is reported, not passed over.
    """
    try:
        return is_dataset(read_document(body, ""))
    except InvalidSpec:
        return looks_like_dataset(body)


def is_dataset(document: Document) -> bool:
    """Tell whether a document means to be a Dataset Spec, perhaps with its type misspelt."""
    data = document.data
    return isinstance(data, dict) and (data.get("type") == "Dataset" or {"name", "owner"} <= data.keys())


def looks_like_dataset(body: bytes) -> bool:
    """Tell whether a file that can't be read as YAML has a line that says it is a Dataset Spec."""
    return _TYPE_LINE.search(body) is not None


def name_of(document: Document) -> str | None:
    """Return the name that a document gives its dataset; None for none that is text."""
    name = document.data.get("name") if isinstance(document.data, dict) else None
    return name if isinstance(name, str) else None


def connection_of(document: Document) -> str | None:
    """Return the name of the connection that a document's dataset runs on; None if it can't be told."""
    data = document.data if isinstance(document.data, dict) else {}
    execution = data.get("execution", {})
    name = execution.get("connection", DEFAULT_CONNECTION) if isinstance(execution, dict) else None
    return name if isinstance(name, str) else None
