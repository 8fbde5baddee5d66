"""Datasets for these tests, as they come out of a store."""

from __future__ import annotations

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.effective import Catalog
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release, write_release
from dataspec.store import MemoryStore
from dli_airflow.mirror.dataset import Dataset


def spec_yaml(name: str, query: str = "select 1", more: str = "") -> bytes:
    return f"name: {name}\ntype: Dataset\nowner: a@example.com\nquery_statement: {query}\n{more}".encode()


def catalog_of(specs: dict[str, bytes], files: dict[str, str] | None = None) -> Catalog:
    """Return the catalog of a store that holds these YAML files, each with the same files of the project."""
    store = MemoryStore()
    for key, body in specs.items():
        write_release(store, key, Release(body, files or {}))
    return CatalogReader(store, MemorySpecCache()).read()


def datasets(
    *names: str, query: str = "select 1", more: str = "", files: dict[str, str] | None = None
) -> list[Dataset]:
    """Return usable datasets of these names."""
    catalog = catalog_of({f"manual/{name}.yaml": spec_yaml(name, query, more) for name in names}, files)
    return [Dataset.of(catalog.effective[name]) for name in names]
