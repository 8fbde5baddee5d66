"""The fixed DAG files of Airflow 2, which has no bundles; also a command that writes and watches them.

Each file in the DAGs folder holds its share of the datasets: parsing any of them looks at
the store, so Airflow can be asked to parse one. Who finds other shares changed touches
their files, for Airflow parses a file at once that is newer than its last parse.

``python -m dli_airflow.dag_files write FOLDER`` writes the files, once. They hold nothing of the
datasets, so they may come from a repository. ``… watch FOLDER`` goes on looking at the
store; without it, a change waits until Airflow parses some file.
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

from dataspec.errors import DliError
from dli_airflow.mirror.settings import MirrorSettings
from dli_airflow.mirror.store_mirror import StoreMirror

log = logging.getLogger(__name__)

SHARDS = 16

_AHEAD_SECONDS = 3.0
_PROBLEMS = "dli_problems.py"

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
    """Return the DAGs of a share of the datasets, by their ids, for the share's file to hold.

    A worker, which wants one DAG, looks at the store now: an attempt runs the version that is
    effective when it starts. A parse takes a look that is a few seconds old.

    Args:
        file: The path of the file in the DAGs folder.
        number: Which share.
        shards: Among how many.
    """
    # Imported here: the command that writes the files runs without Airflow.
    from dli_airflow.airflow_api import get_parsing_context
    from dli_airflow.factory import load

    settings = MirrorSettings.from_environment(os.environ)
    mirror = _mirror(settings, shards)
    at_work = get_parsing_context().dag_id is not None
    touch(Path(file).parent, mirror.refresh(max_age=0.0 if at_work else settings.refresh_seconds))
    shard = mirror.shard(number)
    return load(str(shard), base_url=settings.base_url) if shard.exists() else {}


def load_problems(file: str, shards: int) -> None:
    """Raise what is wrong with the specs that can't be used, so that Airflow shows it; none has its DAG here.

    Raises:
        ImportError: With each problem in a paragraph of its own.
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
    """Write the DAG files, and remove those of another number of shares; return what changed."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {_path(folder, number): _SHARD.format(number=number, shards=shards) for number in range(shards)}
    texts[folder / _PROBLEMS] = _PROBLEM_FILE.format(shards=shards)
    stale = set(folder.glob("dli_shard_*.py")) - texts.keys()
    for path in stale:
        path.unlink()
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in changed:
        path.write_text(texts[path])
    return sorted(stale.union(changed))


def touch(folder: Path, changed: Iterable[str]) -> None:
    """Have Airflow parse the DAG files at once whose datasets changed.

    Their time is set ahead: a parse that is under way may have begun before the change, and
    must not end after it. Where the folder can't be written to, they wait for their turn.
    """
    files = {f"dli_{name}" if name.startswith("shard_") else _PROBLEMS for name in changed}
    ahead = time.time() + _AHEAD_SECONDS
    for path in (folder / name for name in files if name.endswith(".py")):
        try:
            os.utime(path, (ahead, ahead))
        except OSError as error:
            log.debug("%s can't be touched: %s", path, error)


def watch(folder: Path, settings: MirrorSettings, shards: int) -> None:
    """Go on looking at the store, and touch the files whose datasets changed."""
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
    return folder / f"dli_shard_{number:03}.py"


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
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if asked.verb == "write":
        for path in write(asked.folder, asked.shards):
            log.info("%s", path)
    else:
        watch(asked.folder, MirrorSettings.from_environment(os.environ), asked.shards)


if __name__ == "__main__":
    main()
