"""What ``dli dataset register`` says of the registered version, and when it asks before it replaces it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_SQL, CLICKS_YAML, write_clicks
from unit.dli.terminal import on_terminal

REGISTER = ("dataset", "register", CLICKS)


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=dana", "-c", "user.email=dana@example.com")
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


def commit(project: Path) -> None:
    git(project, "add", "-A")
    git(project, "commit", "-qm", "change")


@pytest.fixture
def repository(project: Path) -> Path:
    git(project, "init", "-q")
    return project


@pytest.fixture
def path(project: Path) -> Path:
    return write_clicks(project)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch, dli: Dli) -> Dli:
    """Run a command as the user named first."""

    def run(*arguments: str) -> object:
        with monkeypatch.context() as patch:
            patch.setenv("DLI_USER", arguments[0])
            return dli(*arguments[1:])

    return run  # type: ignore[return-value]


def change(path: Path, cron: str) -> None:
    path.write_text(CLICKS_YAML.replace("0 9", cron))


def is_registered(basecamp: Basecamp, cron: str) -> bool:
    return f'cron: "{cron} ' in basecamp.services.registered_specs.get(CLICKS).yaml


@pytest.mark.rule("33.20")
def test_register_says_which_keys_and_how_many_lines_of_sql_differ(
    basecamp: Basecamp, dli: Dli, path: Path
) -> None:
    first = dli(*REGISTER)
    assert (first.status, "Changes" in first.err) == (0, False)
    again = dli(*REGISTER)
    assert (again.status, "Changes" in again.err) == (0, False)
    path.write_text(CLICKS_YAML.replace("0 9", "0 7").replace("description: Clicks by day.\n", "tags: [a]\n"))
    (path.parent / "daily_clicks.sql").write_text(CLICKS_SQL + "-- all\n-- of them\n")
    result = dli(*REGISTER)
    assert (result.status, result.out) == (0, f"Registered: {CLICKS}\n")
    head, *lines = result.err.splitlines()
    assert head.startswith("Changes to the registered version ")
    assert ", written by dana at 2024-01-15 18:30:" in head
    assert lines[:4] == [
        "  changed: schedule.cron",
        "  added: tags",
        "  removed: description",
        "  daily_clicks.sql: 2 lines added",
    ]
    assert not any(line.startswith("+") for line in lines)


@pytest.mark.rule("33.20")
def test_with_diff_every_line_is_shown_and_values_only_then(basecamp: Basecamp, dli: Dli, path: Path) -> None:
    dli(*REGISTER)
    change(path, "0 7")
    result = dli(*REGISTER, "--diff", "-f", "json")
    assert result.out.startswith("{")
    assert '-  cron: "0 9 * * *"\n+  cron: "0 7 * * *"' in result.err
    path.write_text(path.read_text() + "# a comment\n")
    quiet = dli(*REGISTER)
    assert "  YAML: comments or layout alone\n" in quiet.err
    assert "0 7" not in quiet.err


@pytest.mark.rule("33.21")
def test_update_of_a_colleague_is_not_undone_without_a_word(
    basecamp: Basecamp, dli: Dli, as_user: Dli, path: Path
) -> None:
    dli(*REGISTER)
    assert as_user("bob", "dataset", "update", CLICKS, "--cron", "0 5 * * *").status == 0
    refused = dli(*REGISTER)
    assert (refused.status, refused.out) == (4, "")
    assert "The registered version was changed by 'update', by bob. Registering replaces it." in refused.err
    assert "  changed: schedule.cron\n" in refused.err
    assert f"See it with: dli dataset show {CLICKS} --version " in refused.err
    assert "--yes" in refused.err
    assert is_registered(basecamp, "0 5")
    done = dli(*REGISTER, "--yes")
    assert (done.status, "  changed: schedule.cron\n" in done.err) == (0, True)
    assert is_registered(basecamp, "0 9")
    assert dli(*REGISTER).status == 0


@pytest.mark.rule("33.21")
def test_own_update_and_a_rollback_are_asked_about_as_well(basecamp: Basecamp, dli: Dli, path: Path) -> None:
    dli(*REGISTER)
    dli("dataset", "update", CLICKS, "--cron", "0 5 * * *")
    assert "changed by 'update', by dana" in dli(*REGISTER).err
    dli(*REGISTER, "--yes")
    first = basecamp.services.versions.of(CLICKS, limit=9).items[-1].spec_hash
    dli("dataset", "rollback", CLICKS, first)
    result = dli(*REGISTER)
    assert (result.status, "was rolled back, by dana" in result.err) == (4, True)


@pytest.mark.rule("33.21")
def test_on_a_terminal_the_question_is_asked(basecamp: Basecamp, dli: Dli, as_user: Dli, path: Path) -> None:
    dli(*REGISTER)
    as_user("bob", "dataset", "update", CLICKS, "--cron", "0 5 * * *")
    no = on_terminal(REGISTER, keys=[("Proceed? [y/N]:", "n\r")])
    assert (no.status, is_registered(basecamp, "0 5")) == (4, True)
    yes = on_terminal(REGISTER, keys=[("Proceed? [y/N]:", "y\r")])
    assert (yes.status, is_registered(basecamp, "0 9")) == (0, True)


@pytest.mark.rule("33.22")
def test_update_that_the_project_has_taken_over_is_asked_about_no_more(
    basecamp: Basecamp, dli: Dli, as_user: Dli, path: Path
) -> None:
    dli(*REGISTER)
    as_user("bob", "dataset", "update", CLICKS, "--cron", "0 5 * * *")
    change(path, "0 5")
    assert dli(*REGISTER).status == 0  # the same content: the project has it now
    listed = basecamp.services.versions.of(CLICKS, limit=1).items[0]
    assert (listed.written_by, listed.action) == ("bob", "update")
    change(path, "0 6")
    git(path.parent.parent, "init", "-q")
    result = dli(*REGISTER)
    assert (result.status, is_registered(basecamp, "0 5")) == (4, True)  # bob's, and not committed here
    change(path, "0 5")
    commit(path.parent.parent)
    change(path, "0 6")
    assert dli(*REGISTER).status == 0


@pytest.mark.rule("33.22")
def test_version_of_a_colleague_that_git_has_is_replaced_without_a_question(
    basecamp: Basecamp, dli: Dli, as_user: Dli, repository: Path, path: Path
) -> None:
    change(path, "0 7")
    assert as_user("bob", *REGISTER).status == 0
    commit(repository)  # what bob has pushed
    git(repository, "mv", "datasets", "specs")
    (repository / "dli.yaml").write_text("datasets_dir: specs\n")
    moved = repository / "specs" / path.name
    change(moved, "0 8")
    commit(repository)
    result = dli(*REGISTER)
    assert (result.status, "  changed: schedule.cron\n" in result.err) == (0, True)
    assert "bob" in result.err
    assert is_registered(basecamp, "0 8")


@pytest.mark.rule("33.22")
def test_version_of_a_colleague_that_git_does_not_have_needs_consent(
    basecamp: Basecamp, dli: Dli, as_user: Dli, repository: Path, path: Path
) -> None:
    commit(repository)
    change(path, "0 7")
    sql = path.parent / "daily_clicks.sql"
    sql.write_text("select 'bob'")
    as_user("bob", *REGISTER)  # from a working copy that is not committed
    change(path, "0 8")
    sql.write_text(CLICKS_SQL)
    result = dli(*REGISTER)
    assert (result.status, is_registered(basecamp, "0 7")) == (4, True)
    assert "was registered by bob, and is not in this project's Git history." in result.err


@pytest.mark.rule("33.23")
@pytest.mark.parametrize("is_shallow", [True, False], ids=["a shallow clone", "no Git"])
def test_pipeline_that_can_not_know_is_warned_and_goes_on(
    basecamp: Basecamp,
    dli: Dli,
    as_user: Dli,
    project: Path,
    path: Path,
    is_shallow: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(path, "0 7")
    as_user("bob", *REGISTER)
    change(path, "0 8")
    if is_shallow:
        git(project, "init", "-q")
        commit(project)
        change(path, "0 6")
        commit(project)
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", str(clone))
        monkeypatch.chdir(clone)
    result = dli(*REGISTER)
    assert result.status == 0
    assert (
        "Warning: The registered version was registered by bob, and this project's Git history does not tell"
        in (result.err)
    )
    assert is_registered(basecamp, "0 6" if is_shallow else "0 8")


@pytest.mark.rule("33.23")
def test_pipeline_replaces_what_it_has_registered_itself_and_versions_of_unknown_writers(
    basecamp: Basecamp, as_user: Dli, dli: Dli, path: Path
) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML.replace("0 9", "0 1"), {"daily_clicks.sql": CLICKS_SQL})
    for cron in ("0 7", "0 8"):
        change(path, cron)
        result = as_user("ci", *REGISTER)
        assert (result.status, "Warning: The registered" in result.err) == (0, False)
        assert "  changed: schedule.cron\n" in result.err


@pytest.mark.rule("33.24")
def test_version_that_was_changed_while_a_person_decides_is_not_replaced(
    basecamp: Basecamp, dli: Dli, as_user: Dli, path: Path
) -> None:
    dli(*REGISTER)
    as_user("bob", "dataset", "update", CLICKS, "--cron", "0 5 * * *")
    done: list[str] = []

    def meanwhile(text: str) -> None:
        if "Proceed?" in text and not done:
            done.append(text)
            as_user("bob", "dataset", "update", CLICKS, "--cron", "0 4 * * *")

    screen = on_terminal(REGISTER, keys=[("Proceed? [y/N]:", "y\r")], meanwhile=meanwhile)
    assert (screen.status, is_registered(basecamp, "0 4")) == (4, True)
    assert "changed by someone else meanwhile" in screen.text
