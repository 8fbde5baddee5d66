"""``dli dataset versions``, ``show --version``, ``diff`` of kept versions, and ``rollback``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, write_clicks
from unit.dli.terminal import on_terminal


@pytest.fixture
def history(basecamp: Basecamp, dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three versions: registered by dana, updated by bob, registered by ann with other SQL; their hashes."""
    write_clicks(project)
    assert dli("dataset", "register", CLICKS).status == 0
    monkeypatch.setenv("DLI_USER", "bob")
    assert dli("dataset", "update", CLICKS, "--cron", "0 5 * * *").status == 0
    monkeypatch.setenv("DLI_USER", "ann")
    (project / "datasets" / "daily_clicks.sql").write_text("select 1\n\n-- all of them\n")
    assert dli("dataset", "register", CLICKS, "--yes").status == 0
    monkeypatch.delenv("DLI_USER")
    return [str(row["spec_hash"]) for row in reversed(rows(dli))]


def rows(dli: Dli, *options: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        dli("dataset", "versions", CLICKS, "-f", "json", *options).out
    )
    return found


def registered(basecamp: Basecamp) -> tuple[str, dict[str, str]]:
    found = basecamp.services.registered_specs.get(CLICKS)
    return found.yaml, found.files


@pytest.mark.rule("33.10")
def test_versions_are_a_table_with_writers_and_states(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    result = dli("dataset", "versions", CLICKS)
    assert (result.status, result.err) == (0, "")
    header, *table = [line.split("   ") for line in result.out.splitlines()]
    assert [cell.strip() for cell in header if cell] == [
        *("SPEC", "SOURCE", "STATE", "WRITTEN", "BY", "ACTION", "LAST RUN", "STATUS")
    ]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in table]
    assert [[line[0], line[1], line[2], *line[4:6]] for line in cells] == [
        [history[2][:8], "manual", "registered, loaded", "ann", "register"],
        [history[1][:8], "manual", "-", "bob", "update"],
        [history[0][:8], "manual", "-", "dana", "register"],
    ]
    assert cells[0][3].startswith("2024-01-15 18:30:")  # Seoul
    assert len(rows(dli, "--limit", "2")) == 2


@pytest.mark.rule("33.10")
def test_versions_of_a_name_that_is_not_there_exit_with_3(basecamp: Basecamp, dli: Dli) -> None:
    result = dli("dataset", "versions", "none.such")
    assert (result.status, result.out) == (3, "")
    assert "'none.such' is not registered." in result.err


@pytest.mark.rule("33.11")
def test_show_prints_a_version_and_its_sql(basecamp: Basecamp, dli: Dli, history: list[str]) -> None:
    first, _, last = history
    described = dli("dataset", "show", CLICKS, "--version", first[:10])
    assert (described.status, described.err) == (0, "")
    assert f"Spec          {first}" in described.out or first in described.out
    assert "by dana (register)" in described.out
    assert dli("dataset", "show", CLICKS, "--version", first, "--sql").out == CLICKS_FILES["daily_clicks.sql"]
    rendered = dli(
        *("dataset", "show", CLICKS, "--version", first, "--sql"), "-p", "execution_date=2024-01-14"
    )
    assert rendered.out == "select * from clicks where day = '2024-01-14' limit 100\n"
    found = json.loads(dli("dataset", "show", CLICKS, "--version", last, "-f", "json").out)
    assert (found["spec_hash"], found["registered"], found["written_by"]) == (last, True, "ann")
    assert found["files"] == {"daily_clicks.sql": "select 1\n\n-- all of them\n"}
    assert dli("dataset", "show", CLICKS, "--version", first, "--registered").status == 2


@pytest.mark.rule("33.4", "33.11")
def test_hash_that_is_not_there_is_refused_with_what_there_is(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    for arguments in (
        ["show", CLICKS, "--version", "zzz"],
        ["diff", CLICKS, "zzz"],
        ["rollback", CLICKS, "a/b"],
    ):
        result = dli("dataset", *arguments)
        assert (result.status, result.out) == (3, "")
        assert f"'{CLICKS}' has no version '{arguments[-1]}'." in result.err
    shown = dli("dataset", "show", CLICKS, "--version", "zzz").err
    assert f"Its versions, the newest first: {', '.join(reversed(history))}" in shown
    assert f"dli dataset versions {CLICKS}" in shown


@pytest.mark.rule("33.12")
def test_diff_of_two_versions_shows_keys_and_lines(basecamp: Basecamp, dli: Dli, history: list[str]) -> None:
    first, second, third = history
    result = dli("dataset", "diff", CLICKS, first, third[:12])
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[:3] == [
        f"From {first[:8]} to {third[:8]}:",
        "  daily_clicks.sql: 3 lines added, 1 removed",
        "",
    ]
    assert "+-- all of them" in result.out
    found = json.loads(dli("dataset", "diff", CLICKS, first, second, "-f", "json").out)
    assert (found["name"], found["same"], found["keys"], found["lines"]) == (
        CLICKS,
        False,
        {"schedule.cron": "changed"},
        {},
    )
    assert (found["from"]["spec_hash"], found["to"]["spec_hash"]) == (first, second)
    assert [one["file"] for one in found["differences"]] == ["YAML"]


@pytest.mark.rule("33.12")
def test_diff_of_one_version_compares_it_with_the_registered_one(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    _, second, third = history
    result = dli("dataset", "diff", CLICKS, second, "--exit-code")
    assert result.status == 1
    assert f"From {second[:8]} to {third[:8]}:\n  changed: schedule.cron\n" in result.out
    same = dli("dataset", "diff", CLICKS, third, "--exit-code")
    assert (same.status, same.out) == (0, f"Nothing differs: both are {third[:8]}.\n")
    assert dli("dataset", "diff", CLICKS, second, third, second).status == 2


# rollback


@pytest.mark.rule("33.14")
def test_rollback_registers_yaml_and_sql_of_that_version_again(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    result = dli("dataset", "rollback", CLICKS, history[0][:9], "--reason", "wrong numbers")
    assert (result.status, result.out) == (0, f"Rolled back: {CLICKS} to {history[0][:8]}\n")
    assert result.err.splitlines()[1] == "  daily_clicks.sql: 1 line added, 3 removed"
    assert registered(basecamp) == (CLICKS_YAML, CLICKS_FILES)
    newest = rows(dli)[0]
    assert (newest["spec_hash"], newest["written_by"], newest["action"]) == (history[0], "dana", "rollback")
    entry = json.loads(dli("audit", "--dataset", CLICKS, "-f", "json").out)[0]
    assert (entry["action"], entry["reason"], entry["outcome"]) == (
        "rollback",
        "wrong numbers",
        "done",
    )
    assert (entry["spec_hash_before"], entry["spec_hash_after"]) == (history[2], history[0])


@pytest.mark.rule("33.17")
def test_dry_run_of_a_rollback_shows_the_diff_and_changes_nothing(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    before = registered(basecamp)
    result = dli("dataset", "rollback", CLICKS, history[0], "--dry-run")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"From {history[2][:8]} to {history[0][:8]}:\n")
    assert "+select * from clicks" in result.out
    assert result.out.endswith("Nothing was changed.\n")
    found = json.loads(dli("dataset", "rollback", CLICKS, history[0], "--dry-run", "-f", "json").out)
    assert (found["dry_run"], found["same"]) == (True, False)
    assert registered(basecamp) == before


@pytest.mark.rule("33.14")
def test_rollback_to_the_registered_version_changes_nothing(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    result = dli("dataset", "rollback", CLICKS, history[2])
    assert (result.status, result.out, result.err) == (
        0,
        f"{CLICKS} is at {history[2][:8]} already. Nothing was changed.\n",
        "",
    )
    assert rows(dli)[0]["action"] == "register"


@pytest.mark.rule("33.17")
def test_on_a_terminal_a_rollback_asks_first(basecamp: Basecamp, dli: Dli, history: list[str]) -> None:
    before = registered(basecamp)
    no = on_terminal(["dataset", "rollback", CLICKS, history[0]], keys=[("Proceed? [y/N]:", "n\r")])
    assert (no.status, registered(basecamp)) == (4, before)
    assert "daily_clicks.sql: 1 line added, 3 removed" in no.text
    yes = on_terminal(["dataset", "rollback", CLICKS, history[0]], keys=[("Proceed? [y/N]:", "y\r")])
    assert (yes.status, registered(basecamp)) == (0, (CLICKS_YAML, CLICKS_FILES))


@pytest.mark.rule("33.15")
def test_rollback_of_a_dataset_of_code_points_to_git(basecamp: Basecamp, dli: Dli, project: Path) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    spec_hash = str(rows(dli)[0]["spec_hash"])
    for more in ([], ["--dry-run"], ["--yes"]):
        result = dli("dataset", "rollback", CLICKS, spec_hash, *more)
        assert (result.status, result.out) == (4, "")
        assert "This dataset is managed by Code (GitOps)." in result.err
        assert "git revert" in result.err


@pytest.mark.rule("33.15")
def test_rollback_of_an_overridden_dataset_changes_the_kept_file_with_consent(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML.replace("0 9", "0 3"), CLICKS_FILES)
    refused = dli("dataset", "rollback", CLICKS, history[0])
    assert (refused.status, refused.out) == (4, "")
    assert "Your Manual registration will be overridden by Code." in refused.err
    assert "Not rolled back." in refused.err
    done = dli("dataset", "rollback", CLICKS, history[0], "--yes")
    assert (done.status, done.out) == (0, f"Rolled back: {CLICKS} to {history[0][:8]}\n")
    assert "kept but inactive" in done.err
    stored = basecamp.store.get(f"manual/{CLICKS}.yaml")
    assert stored is not None
    assert stored.body.decode() == CLICKS_YAML


@pytest.mark.rule("33.16")
def test_rollback_brings_an_unregistered_dataset_back(
    basecamp: Basecamp, dli: Dli, history: list[str]
) -> None:
    assert dli("dataset", "unregister", CLICKS).status == 0
    result = dli("dataset", "rollback", CLICKS, history[1])
    assert (result.status, result.out) == (0, f"Rolled back: {CLICKS} to {history[1][:8]}\n")
    assert "No manual spec of this name is registered now" in result.err
    assert registered(basecamp)[0] == CLICKS_YAML.replace("0 9", "0 5")
