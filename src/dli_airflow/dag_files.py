"""The fixed DAG files of Airflow 2, which has no bundles; also a command that writes and watches them.

Each file in the DAGs folder builds the DAGs of one shard. Parsing any of them refreshes the mirror, then touches
the files of the other shards that changed: Airflow parses a file at once that is newer than its last parse.

``python -m dli_airflow.dag_files write FOLDER`` writes the files once. They contain no datasets, so they may be
kept in a repository. ``… watch FOLDER`` refreshes the mirror periodically; without it, a change waits until
Airflow parses one of the files.
"""

from __future__ import annotations

import argparse
import logging
import os
import runpy
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dataspec.contract import FOLDER_PREFIX, SHARD_PREFIX, write_shard_file
from dataspec.errors import DliError
from dli_airflow.mirror.settings import MirrorSettings
from dli_airflow.mirror.store_mirror import StoreMirror

log = logging.getLogger(__name__)

SHARDS = 16

_AHEAD_SECONDS = 3.0
_PROBLEMS = f"{FOLDER_PREFIX}problems.py"

_SHARD = '''\
"""DAGs of datasets, for airflow: share {number} of {shards}. Written by `python -m dli_airflow.dag_files`."""

from dli_airflow.dag_files import load_shard

globals().update(load_shard(__file__, {number}, {shards}))
'''

_PROBLEM_FILE = '''\
"""Specs that can't be used, for airflow's list of import errors. Written by `python -m dli_airflow.dag_files`."""

from dli_airflow.dag_files import load_problems

load_problems(__file__, {shards})
'''


def load_shard(file: str, number: int, shards: int) -> dict[str, Any]:
    """Return the DAGs of one shard by id, for the globals of the shard's file.

    A worker, which needs one DAG, always refreshes: an attempt runs the version that is effective when it
    starts. A parse accepts a refresh that is a few seconds old.

    Args:
        file: The path of the file in the DAGs folder.
        number: The number of the shard.
        shards: The number of shards.
    """
    # Imported here: the command that writes the files runs without Airflow.
    from dli_airflow.airflow_api import get_parsing_context
    from dli_airflow.factory import load

    settings = MirrorSettings.from_environment(os.environ)
    mirror = _mirror(settings, shards)
    in_worker = get_parsing_context().dag_id is not None
    touch(Path(file).parent, mirror.refresh(max_age=0.0 if in_worker else settings.refresh_seconds))
    shard = mirror.shard(number)
    return load(str(shard), base_url=settings.base_url, store=mirror.store) if shard.exists() else {}


def load_problems(file: str, shards: int) -> None:
    """Raise the problems of all specs that can't be used, for Airflow's list of import errors.

    Raises:
        ImportError: With a paragraph for each problem.
    """
    settings = MirrorSettings.from_environment(os.environ)
    mirror = _mirror(settings, shards)
    touch(Path(file).parent, mirror.refresh(max_age=settings.refresh_seconds))
    if found := list(_problems(mirror.path)):
        raise ImportError("\n\n".join(found))


def _problems(folder: Path) -> Iterator[str]:
    for code in sorted(folder.glob("problem_*.py")):
        try:
            runpy.run_path(str(code))
        except ImportError as problem:
            yield str(problem)


def write(folder: Path, shards: int = SHARDS) -> list[Path]:
    """Write the DAG files, remove those of another number of shards, and return the files that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {_path(folder, number): _SHARD.format(number=number, shards=shards) for number in range(shards)}
    texts[folder / _PROBLEMS] = _PROBLEM_FILE.format(shards=shards)
    stale = set(folder.glob(f"{FOLDER_PREFIX}{SHARD_PREFIX}*.py")) - texts.keys()
    for path in stale:
        path.unlink()
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in changed:
        path.write_text(texts[path])
    return sorted(stale.union(changed))


def touch(folder: Path, changed: Iterable[str]) -> None:
    """Make Airflow parse the DAG files of changed shards at once, by their modification time.

    The time is set ahead: a parse that began before the change may end after it. In a folder without write
    permission, the files are parsed at their next turn.
    """
    files = {f"{FOLDER_PREFIX}{name}" if name.startswith(SHARD_PREFIX) else _PROBLEMS for name in changed}
    ahead = time.time() + _AHEAD_SECONDS
    for path in (folder / name for name in files if name.endswith(".py")):
        try:
            os.utime(path, (ahead, ahead))
        except OSError as error:
            log.debug("%s can't be touched: %s", path, error)


def watch(folder: Path, settings: MirrorSettings, shards: int) -> None:
    """Refresh the mirror periodically, without end, and touch the files of changed shards."""
    mirror = _mirror(settings, shards)
    while True:
        try:
            touch(folder, mirror.refresh(max_age=settings.refresh_seconds))
        except DliError as error:
            log.warning("%s %s", error.title, error.detail or "")
        time.sleep(settings.refresh_seconds)


def _mirror(settings: MirrorSettings, shards: int) -> StoreMirror:
    return StoreMirror(
        settings.folder, store_url=settings.store_url, shards=shards, base_url=settings.base_url
    )


def _path(folder: Path, number: int) -> Path:
    return folder / f"{FOLDER_PREFIX}{write_shard_file(number)}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m dli_airflow.dag_files", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("write", "watch"):
        options = verbs.add_parser(verb)
        options.add_argument("folder", type=Path, help="Airflow's DAGs folder")
        options.add_argument(
            "--shards", type=int, default=SHARDS, help="number of files (default: %(default)s)"
        )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.verb == "write":
        for path in write(arguments.folder, arguments.shards):
            log.info("%s", path)
    else:
        watch(arguments.folder, MirrorSettings.from_environment(os.environ), arguments.shards)


if __name__ == "__main__":
    main()
