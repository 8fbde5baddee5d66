"""Whatever one spec, map or key in the store is, Airflow's machines build all other datasets (specification 4.6)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataspec.spec.yaml_reader import Document, read_document
from dli_airflow.mirror.dag_folder import shard_of
from dli_airflow.mirror.dataset import Dataset
from dli_airflow.mirror.store_mirror import StoreMirror
from unit.dli_airflow.catalogs import spec_yaml

HEAD = "name: bad\ntype: Dataset\nowner: a@example.com\n"

BAD_FILES: dict[str, dict[str, bytes]] = {
    "step": {"bad.yaml": f"{HEAD}query_file: ./q.sql".encode()},
    "empty part": {"bad.yaml": f"{HEAD}query_file: a//b.sql".encode()},
    "nul": {"bad.yaml": f'{HEAD}query_file: "q\\0.sql"'.encode()},
    "long": {"bad.yaml": f"{HEAD}query_file: {'l' * 400}".encode()},
    "statement": {
        "bad.yaml": f"{HEAD}query_statement: select 1\npre_statements: [{{name: a, file: sql/}}]".encode()
    },
    "map": {
        "bad.yaml": f"{HEAD}query_file: q.sql".encode(),
        "q.sql": b"select 1",
        "bad.files.json": b'{"versions": {"x": {"files": {"q.sql": "../../x"}}}}',
    },
    "name": {"bad\n.yaml": HEAD.encode()},
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    code = tmp_path / "store" / "code"
    code.mkdir(parents=True)
    (code / "good.yaml").write_bytes(spec_yaml("good"))
    return tmp_path / "store"


@pytest.fixture
def machine(tmp_path: Path, store: Path) -> Callable[[str], StoreMirror]:
    """Set a machine of Airflow up, with nothing on it yet."""
    return lambda name: StoreMirror(tmp_path / name, store_url=str(store), shards=2, base_url=None)


def lines(mirror: StoreMirror) -> Iterator[dict[str, object]]:
    for path in sorted(mirror.path.glob("*.jsonl")):
        yield from (json.loads(line) for line in path.read_text().splitlines()[1:])


def names(mirror: StoreMirror) -> list[str]:
    return sorted(str(line["name"]) for line in lines(mirror))


@pytest.mark.rule("4.6")
@pytest.mark.parametrize("files", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_new_machine_builds_every_other_dataset_and_shows_the_reason(
    files: dict[str, bytes], store: Path, machine: Callable[[str], StoreMirror]
) -> None:
    before = machine("before")
    before.refresh()
    for name, body in files.items():
        (store / "code" / name).write_bytes(body)
    new = machine("new")
    for mirror in (before, new):
        mirror.refresh()
        assert names(mirror) == ["good"]
        (problem,) = mirror.path.glob("problem_*.py")
        assert "can't be used" in problem.read_text()
    (store / "code" / "later.yaml").write_bytes(spec_yaml("later"))
    for mirror in (before, new):
        mirror.refresh()
        assert names(mirror) == ["good", "later"]


def test_a_pipe_holds_no_machine(store: Path, machine: Callable[[str], StoreMirror]) -> None:
    os.mkfifo(store / "code" / "bad.yaml")
    mirror = machine("new")
    mirror.refresh()
    assert names(mirror) == ["good"]


@pytest.mark.rule("4.6")
def test_an_error_that_nobody_foresaw_costs_no_other_dataset(
    store: Path, machine: Callable[[str], StoreMirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "code" / "bad.yaml").write_bytes(spec_yaml("bad"))

    def failing(body: bytes, file: str) -> Document:
        if file.endswith("bad.yaml"):
            raise RecursionError("deep")
        return read_document(body, file)

    with monkeypatch.context() as patch:
        patch.setattr("dataspec.catalog.reader.read_document", failing)
        mirror = machine("new")
        mirror.refresh()
        assert names(mirror) == ["good"]
        (problem,) = mirror.path.glob("problem_*.py")
        assert "RecursionError: deep" in problem.read_text()
    (store / "code" / "other.yaml").write_bytes(spec_yaml("other"))
    mirror.refresh()
    assert names(mirror) == ["bad", "good", "other"]


@pytest.mark.rule("4.6")
def test_a_dataset_that_cannot_be_written_fails_alone(
    store: Path, machine: Callable[[str], StoreMirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "code" / "bad.yaml").write_bytes(spec_yaml("bad"))
    write = Dataset.to_json

    def failing(dataset: Dataset) -> object:
        if dataset.name == "bad":
            raise TypeError("no one knew")
        return write(dataset)

    monkeypatch.setattr(Dataset, "to_json", failing)
    mirror = machine("new")
    mirror.refresh()
    read = {str(line["name"]): line for line in lines(mirror)}
    assert Dataset.from_json(read["good"]).name == "good"
    with pytest.raises(ValueError, match="TypeError: no one knew"):
        Dataset.from_json(read["bad"])


def test_what_the_cache_cannot_keep_is_read_again_and_the_rest_is_kept(
    store: Path, machine: Callable[[str], StoreMirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "code" / "bad.yaml").write_text("name: bad\ntype: Dataset\nowner: nobody\n")
    monkeypatch.setattr("dataspec.catalog.cache.asdict", lambda _: {"message": object()})
    mirror = machine("new")
    mirror.refresh()
    (store / "code" / "other.yaml").write_bytes(spec_yaml("other"))
    mirror.refresh()
    assert names(mirror) == ["good", "other"]


@pytest.mark.rule("31.36")
def test_a_change_of_the_upstreams_schedule_changes_the_line_of_the_dataset_that_follows(
    machine: Callable[[str], StoreMirror], store: Path
) -> None:
    """The two datasets are in different shards."""
    assert shard_of("good", 2) != shard_of("follows", 2)

    def clock(mirror: StoreMirror) -> list[str]:
        (line,) = [line for line in lines(mirror) if line["name"] == "follows"]
        schedule = Dataset.from_json(line).spec.schedule
        assert schedule is not None
        assert schedule.follows_upstream
        return [schedule.cron, schedule.timezone]

    def upstream(schedule: str) -> None:
        (store / "code" / "good.yaml").write_bytes(spec_yaml("good", more=f"schedule: {schedule}\n"))

    upstream("{cron: 0 7 * * *, timezone: Asia/Seoul}")
    more = 'depends_on: [good]\nschedule: {cron: "@upstream"}\n'
    (store / "code" / "follows.yaml").write_bytes(spec_yaml("follows", more=more))
    (store / "code" / "other.yaml").write_bytes(spec_yaml("other"))
    mirror = machine("a")
    mirror.refresh()
    assert clock(mirror) == ["0 7 * * *", "Asia/Seoul"]
    upstream("{cron: 5 * * * *}")
    assert mirror.refresh()
    assert clock(mirror) == ["5 * * * *", "UTC"]
    (store / "code" / "good.yaml").unlink()
    mirror.refresh()
    assert clock(mirror) == ["@upstream", "UTC"]
    (line,) = [line for line in lines(mirror) if line["name"] == "follows"]
    assert line["no_clock"] == "its upstream dataset 'good' is not registered"
