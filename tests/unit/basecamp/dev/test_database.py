import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from basecamp.dev.startup import SqliteFile


def migrate(database: SqliteFile, version: str) -> None:
    database.begin()
    with closing(sqlite3.connect(database.draft)) as draft:
        draft.execute("create table if not exists versions (name text)")
        draft.execute("insert into versions values (?)", [version])
        draft.commit()
    database.finish(version)


def versions(database: SqliteFile) -> list[str]:
    with closing(sqlite3.connect(database.file)) as there:
        return [name for (name,) in there.execute("select name from versions")]


@pytest.fixture
def database(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path / "airflow" / "airflow.db")


def test_a_new_home_has_no_database_for_any_version(database: SqliteFile) -> None:
    assert not database.is_for("3.3.2")


def test_a_migrated_database_is_for_its_version_alone(database: SqliteFile) -> None:
    migrate(database, "3.3.2")

    assert database.is_for("3.3.2")
    assert not database.is_for("3.3.3")


def test_a_migration_keeps_what_was_there(database: SqliteFile) -> None:
    migrate(database, "3.3.2")
    migrate(database, "3.3.3")

    assert versions(database) == ["3.3.2", "3.3.3"]


@pytest.mark.rule("28.3")
def test_a_migration_that_was_cut_off_leaves_the_old_database_as_it_was(database: SqliteFile) -> None:
    migrate(database, "3.3.2")
    database.begin()
    database.draft.write_bytes(b"half of something")

    assert versions(database) == ["3.3.2"]
    migrate(database, "3.3.3")
    assert versions(database) == ["3.3.2", "3.3.3"]


@pytest.mark.rule("28.3")
def test_what_a_killed_writer_left_in_its_log_is_kept(database: SqliteFile) -> None:
    migrate(database, "3.3.2")
    writer = sqlite3.connect(database.file)
    writer.execute("pragma wal_autocheckpoint = 0")
    writer.execute("insert into versions values ('in the log')")
    writer.commit()
    files = {file: file.read_bytes() for file in database.file.parent.glob("airflow.db*")}
    writer.close()
    for file, body in files.items():  # as SIGKILL leaves them: the log not yet folded in
        file.write_bytes(body)

    migrate(database, "3.3.3")

    assert versions(database) == ["3.3.2", "in the log", "3.3.3"]


def test_a_reader_is_not_kept_out_while_someone_writes(database: SqliteFile) -> None:
    migrate(database, "3.3.2")
    with closing(sqlite3.connect(database.file, isolation_level=None)) as writer:
        writer.execute("begin exclusive")
        writer.execute("insert into versions values ('not yet')")

        assert versions(database) == ["3.3.2"]
