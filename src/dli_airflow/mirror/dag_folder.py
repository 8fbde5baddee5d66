"""The folder of DAG files.

A hash of its name assigns each dataset to a shard, so it never moves, and Airflow parses only the shards that
changed. A shard has two files: ``shard_017.jsonl`` with a dataset on each line, and ``shard_017.py``, a few lines
that build their DAGs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path

from dataspec.contract import write_shard_file
from dataspec.distribution import version
from dataspec.files import TEMPORARY, write_atomically
from dataspec.problems import unexpected
from dli_airflow.mirror.dataset import Dataset

log = logging.getLogger(__name__)

_AHEAD_SECONDS = 3.0

_SHARD = '''\
"""DAGs of datasets, for airflow; written by dli_airflow, not to be edited.

datasets {digest}
"""

from dli_airflow.factory import load

globals().update(load(__file__, base_url={base_url!r}, store={store!r}))
'''

_PROBLEM = '''\
"""A dataset without a dag of its own version, for airflow's list of import errors; written by dli_airflow."""

raise ImportError({text!r})
'''


def shard_of(name: str, shards: int) -> int:
    """Return the number of a dataset's shard, from 0 to ``shards - 1``."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % shards


class DagFolder:
    """Writes the folder. The caller holds the mirror's lock.

    Args:
        path: The folder.
        shards: The number of shards. Changing it moves datasets between files.
        base_url: Basecamp's address, for the links in the DAGs.
        store: Identifies the store, for the sessions of runs on their engines.
    """

    def __init__(self, path: Path, *, shards: int, base_url: str | None, store: str = "") -> None:
        self._path = path
        self._shards = shards
        self._base_url = base_url
        self._store = store

    @cached_property
    def form(self) -> str:
        """Identifies the settings and the program that wrote the files; when it changes, all are written again."""
        return f"{version()} {self._shards} {self._base_url} {self._store}"

    def names(self) -> list[str]:
        """Return the names of the files in the folder; another program may have removed some."""
        return sorted(path.name for path in self._path.glob("*.*"))

    def registered_at(self, name: str) -> datetime | None:
        """Return when a dataset was registered according to its shard; None for a dataset that is not in it."""
        code = self.shard(shard_of(name, self._shards))
        try:
            data = next(read_shard(code, name), None)
            return datetime.fromisoformat(str(data["registered_at"])) if data else None
        except (OSError, ValueError, LookupError, TypeError, StopIteration):
            return None

    def shard(self, number: int) -> Path:
        """Return the path of a shard's DAG file, which does not exist for a shard without datasets."""
        return self._path / write_shard_file(number)

    def write(self, datasets: Iterable[Dataset], problems: Iterable[tuple[str, str]]) -> list[str]:
        """Write these datasets and problems, only the files that changed, and remove all other files.

        Args:
            datasets: All datasets with a DAG.
            problems: The title, such as a key in the store, and the text of each import error.

        Returns:
            The names of the files that were written or removed.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        by_shard: dict[int, list[Dataset]] = defaultdict(list)
        for dataset in sorted(datasets, key=lambda dataset: dataset.name):
            by_shard[shard_of(dataset.name, self._shards)].append(dataset)
        changed, kept = [], set()
        for number, members in by_shard.items():
            code = self.shard(number)
            kept |= {code, lines_of(code)}
            if self._write_shard(code, members):
                changed.append(code.name)
        for title, text in problems:
            code = self._path / f"{_file_name(title)}.py"
            kept.add(code)
            if _write_code(code, _PROBLEM.format(text=text)):
                changed.append(code.name)
        return changed + [path.name for path in self._removed(kept)]

    def _write_shard(self, code: Path, members: list[Dataset]) -> bool:
        digest = hashlib.sha256("\n".join([self.form, *(m.version for m in members)]).encode()).hexdigest()
        text = _SHARD.format(digest=digest, base_url=self._base_url, store=self._store)
        head = json.dumps({"digest": digest})
        if _first_line(lines_of(code)) != head:
            write_atomically(lines_of(code), "\n".join([head, *map(_line, members)]))
        return _write_code(code, text)

    def _removed(self, kept: set[Path]) -> Iterator[Path]:
        for pattern in ("*.py", "*.jsonl", f"{TEMPORARY}*"):
            for path in sorted(set(self._path.glob(pattern)) - kept):
                path.unlink(missing_ok=True)
                yield path


def lines_of(code: Path) -> Path:
    """Return the path of the datasets that belong to a shard's DAG file."""
    return code.with_suffix(".jsonl")


def digest_of(code: Path) -> str:
    """Return the hash of a shard's content."""
    return str(json.loads(_first_line(lines_of(code)) or "{}").get("digest"))


def read_shard(code: Path, name: str | None = None) -> Iterator[dict[str, object]]:
    """Yield the datasets of a shard as JSON, or only the one with a name.

    :meth:`~dli_airflow.mirror.dataset.Dataset.from_json` reads them one by one: it may fail for one alone.
    """
    start = None if name is None else f'{{"name": {json.dumps(name)},'
    with lines_of(code).open(encoding="utf-8") as lines:
        next(lines)  # the digest
        for line in lines:
            if start is None or line.startswith(start):
                yield json.loads(line)


def _line(dataset: Dataset) -> str:
    """Return a dataset's line in a shard; for a dataset that can't be written, a line with the reason."""
    try:
        return json.dumps(dataset.to_json())
    except Exception as error:
        log.exception("The dataset %s can't be written", dataset.name)
        told = str(unexpected(error, dataset.key))
        return json.dumps({"name": dataset.name, "spec_hash": dataset.spec_hash, "broken": told})


def _write_code(path: Path, text: str) -> bool:
    """Write a DAG file if it changed, with its modification time set ahead.

    Airflow parses a file again when it is newer than the end of its last parse. A file written during a parse of
    its old text would look older, and would wait for the next turn of all files.
    """
    if _read(path) == text:
        return False
    write_atomically(path, text)
    ahead = path.stat().st_mtime + _AHEAD_SECONDS
    os.utime(path, (ahead, ahead))
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _first_line(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return next(lines, "").rstrip("\n")
    except FileNotFoundError:
        return None


def _file_name(title: str) -> str:
    digest = hashlib.sha256(title.encode()).hexdigest()[:8]
    return f"problem_{re.sub(r'[^A-Za-z0-9.-]+', '_', title).removesuffix('.yaml')[:100]}_{digest}"
