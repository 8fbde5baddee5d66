from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dli_airflow.mirror.dag_folder import DagFolder, lines_of, read_shard, shard_of
from dli_airflow.mirror.dataset import Dataset
from unit.dli_airflow.catalogs import datasets


def folder_in(path: Path, shards: int = 4, base_url: str | None = "http://basecamp") -> DagFolder:
    return DagFolder(path / "dags", shards=shards, base_url=base_url)


def names_in(path: Path) -> dict[str, list[str]]:
    return {
        code.name: [str(data["name"]) for data in read_shard(code)]
        for code in sorted((path / "dags").glob("shard_*.py"))
    }


@pytest.mark.rule("15.8")
def test_a_datasets_shard_depends_on_its_name_alone() -> None:
    assert [shard_of(name, 128) for name in ("t.minute", "t.slow", "t.a")] == [80, 33, 83]
    spread = {shard_of(f"dataset.{number}", 128) for number in range(5000)}
    assert spread == set(range(128))


def test_every_dataset_is_in_the_file_of_its_shard(tmp_path: Path) -> None:
    names = [f"d{number}" for number in range(20)]
    folder_in(tmp_path).write(datasets(*names), [])
    found = names_in(tmp_path)
    assert sorted(name for members in found.values() for name in members) == sorted(names)
    assert all(f"shard_{shard_of(n, 4):03}.py" == file for file, members in found.items() for n in members)


@pytest.mark.rule("15.8")
def test_only_the_file_of_a_changed_dataset_is_written_again(tmp_path: Path) -> None:
    names = [f"d{number}" for number in range(20)]
    before = datasets(*names)
    folder_in(tmp_path).write(before, [])
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "dags").iterdir()}
    changed = [replace(dataset, spec_hash="new") if dataset.name == "d7" else dataset for dataset in before]
    mine = f"shard_{shard_of('d7', 4):03}.py"
    assert folder_in(tmp_path).write(changed, []) == [mine]
    written = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert written == {mine, lines_of(Path(mine)).name}
    assert folder_in(tmp_path).write(changed, []) == []


def test_a_file_whose_datasets_are_all_gone_is_removed(tmp_path: Path) -> None:
    folder_in(tmp_path).write(datasets("a", "b", "c", "d", "e"), [("k", "broken")])
    folder_in(tmp_path).write(datasets("a"), [])
    assert names_in(tmp_path) == {f"shard_{shard_of('a', 4):03}.py": ["a"]}
    assert len(list((tmp_path / "dags").iterdir())) == 2


def test_another_address_of_basecamp_or_number_of_shards_writes_all_again(tmp_path: Path) -> None:
    all_of_them = datasets("a", "b", "c")
    folder_in(tmp_path).write(all_of_them, [])
    assert folder_in(tmp_path, base_url=None).write(all_of_them, [])
    folder_in(tmp_path, shards=1, base_url=None).write(all_of_them, [])
    assert names_in(tmp_path) == {"shard_000.py": ["a", "b", "c"]}


def test_airflows_search_for_dag_files_finds_every_file(tmp_path: Path) -> None:
    folder_in(tmp_path).write(datasets("a"), [("manual/b.yaml", "no such key")])
    for code in (tmp_path / "dags").glob("*.py"):
        text = code.read_text().lower()
        assert "dag" in text
        assert "airflow" in text


def test_a_written_file_is_newer_than_a_parse_that_is_under_way(tmp_path: Path) -> None:
    folder_in(tmp_path).write(datasets("a"), [])
    code, lines = (next((tmp_path / "dags").glob(pattern)) for pattern in ("*.py", "*.jsonl"))
    assert 2 < code.stat().st_mtime - lines.stat().st_mtime < 10


def test_a_writer_that_died_between_the_two_files_is_made_good(tmp_path: Path) -> None:
    old, new = datasets("a"), datasets("a", query="select 2")
    folder_in(tmp_path).write(old, [])
    code = next((tmp_path / "dags").glob("*.py"))
    old_code = code.read_text()
    folder_in(tmp_path).write(new, [])
    code.write_text(old_code)  # as if the writer of the new version had died before it
    assert folder_in(tmp_path).write(new, []) == [code.name]
    code.write_text(old_code)
    folder_in(tmp_path).write(old, [])  # and here the old version came back
    assert [Dataset.from_json(data) for data in read_shard(code)] == old


def test_what_a_dead_writer_left_half_written_is_removed(tmp_path: Path) -> None:
    folder_in(tmp_path).write(datasets("a"), [])
    (tmp_path / "dags" / ".writing-abc").write_text("half")
    folder_in(tmp_path).write(datasets("a"), [])
    assert not list((tmp_path / "dags").glob(".writing*"))


def test_one_dataset_can_be_read_without_the_others(tmp_path: Path) -> None:
    folder_in(tmp_path, shards=1).write(datasets("a", "a.b", "ab"), [])
    code = tmp_path / "dags" / "shard_000.py"
    assert [data["name"] for data in read_shard(code, "a")] == ["a"]
    assert list(read_shard(code, "missing")) == []


def test_a_problem_is_a_file_that_raises_its_text(tmp_path: Path) -> None:
    text = 'manual/a "b".yaml:3:1: wrong\n\\"""{braces}'
    folder_in(tmp_path).write([], [("manual/a b.yaml", text)])
    [code] = (tmp_path / "dags").glob("*.py")
    with pytest.raises(ImportError) as raised:
        exec(code.read_text(), {})
    assert str(raised.value) == text


def test_two_problems_whose_names_look_alike_have_a_file_each(tmp_path: Path) -> None:
    folder_in(tmp_path).write([], [("manual/a b.yaml", "one"), ("manual/a_b.yaml", "two")])
    assert len(list((tmp_path / "dags").glob("problem_*.py"))) == 2


def test_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    folder_in(tmp_path).write(datasets("a"), [("k", "t")])
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "dags").iterdir()} == {0o644}
