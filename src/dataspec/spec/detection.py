"""Detect Dataset Specs among YAML files, and read names from them before they are validated.

Loads no pydantic: most commands that look for a dataset only need its name.
"""

from __future__ import annotations

import re

from dataspec.errors import InvalidSpec
from dataspec.spec.identity import DEFAULT_CONNECTION
from dataspec.spec.yaml_reader import Document, read_document

_TYPE_LINE = re.compile(rb"""^[^\S\n]*["']?type["']?\s*:\s*["']?Dataset\b""", re.MULTILINE)


def is_dataset_document(body: bytes) -> bool:
    """Return whether a YAML file is meant as a Dataset Spec: its ``type`` is ``Dataset``.

    Invalid YAML with such a line counts as well, so that a broken spec is reported.
    """
    try:
        return is_dataset(read_document(body, ""))
    except InvalidSpec:
        return looks_like_dataset(body)


def is_dataset(document: Document) -> bool:
    """Return whether a document is meant as a Dataset Spec, even if its type is misspelt."""
    data = document.data
    return isinstance(data, dict) and (data.get("type") == "Dataset" or {"name", "owner"} <= data.keys())


def looks_like_dataset(body: bytes) -> bool:
    """Return whether invalid YAML has the line ``type: Dataset``."""
    return _TYPE_LINE.search(body) is not None


def name_of(document: Document) -> str | None:
    """Return the dataset name in a document; None if it is missing or no text."""
    name = document.data.get("name") if isinstance(document.data, dict) else None
    return name if isinstance(name, str) else None


def tags_of(document: Document) -> tuple[str, ...]:
    """Return the tags in a document; none if they are invalid."""
    tags = document.data.get("tags") if isinstance(document.data, dict) else None
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def connection_of(document: Document) -> str | None:
    """Return the connection name in a document, or the default; None if it is invalid."""
    data = document.data if isinstance(document.data, dict) else {}
    execution = data.get("execution", {})
    name = execution.get("connection", DEFAULT_CONNECTION) if isinstance(execution, dict) else None
    return name if isinstance(name, str) else None
