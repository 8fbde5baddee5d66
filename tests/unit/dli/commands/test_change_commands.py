from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of, write_clicks
from unit.dli.terminal import on_terminal

MANAGED_BY_CODE = (
    "Error: This dataset is managed by Code (GitOps).\n"
    "       Modify the YAML in Git and deploy via CI/CD.\n"
    "       Only pause/unpause operations are allowed via CLI.\n"
)
OTHER_YAML = CLICKS_YAML.replace("0 9", "0 5")


def manual_yaml(basecamp: Basecamp) -> str | None:
    stored = basecamp.store.get(f"manual/{CLICKS}.yaml")
    return stored.body.decode() if stored else None


# update


@pytest.mark.rule("22.16")
def test_update_changes_the_yaml_in_place(basecamp: Basecamp, dli: Dli) -> None:
    yaml = CLICKS_YAML + "  # 아홉 시\n"
    basecamp.put_manual(CLICKS, yaml, CLICKS_FILES)
    result = dli(
        *("dataset", "update", CLICKS, "--cron", "0 10 * * *", "--timezone", "UTC", "--disabled"),
        *("--retry-max-attempts", "3", "--retry-delay-seconds", "60"),
    )
    assert (result.status, result.out, result.err) == (0, f"Updated: {CLICKS}\n", "")
    assert manual_yaml(basecamp) == yaml.replace(
        'cron: "0 9 * * *"\n  timezone: Asia/Seoul\n',
        'cron: "0 10 * * *"\n  timezone: UTC\n'
        "  enabled: false\n  retry:\n    max_attempts: 3\n    delay_seconds: 60\n",
    )
    assert dli("dataset", "update", CLICKS, "--enabled").status == 0
    assert "enabled: true" in (manual_yaml(basecamp) or "")


def test_update_as_json_prints_the_dataset(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    result = dli("dataset", "update", CLICKS, "--cron", "0 10 * * *", "-f", "json", "--no-wait")
    updated = json.loads(result.out)
    assert (updated["loaded"], updated["yaml"]) == (False, CLICKS_YAML.replace("0 9", "0 10"))


@pytest.mark.rule("16.6")
def test_update_of_a_dataset_of_code_is_refused_in_the_words_of_the_specification(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    path = write_clicks(project)
    for options in (["--cron", "0 10 * * *"], ["--file", str(path)]):
        result = dli("dataset", "update", CLICKS, *options)
        assert (result.status, result.out, result.err) == (4, "", MANAGED_BY_CODE)


@pytest.mark.rule("16.7")
def test_update_reaches_the_kept_file_and_says_that_it_stays_overridden(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_code(CLICKS, OTHER_YAML, CLICKS_FILES)
    result = dli("dataset", "update", CLICKS, "--source", "manual", "--cron", "0 7 * * *")
    assert (result.status, result.out) == (0, f"Updated: {CLICKS}\n")
    assert result.err == "Warning: The Manual file was changed; it stays overridden by Code.\n"
    assert manual_yaml(basecamp) == CLICKS_YAML.replace("0 9", "0 7")
    path = write_clicks(project)
    whole = dli("dataset", "update", CLICKS, "--source", "manual", "--file", str(path))
    assert (whole.status, manual_yaml(basecamp)) == (0, CLICKS_YAML)
    assert "kept but inactive" in whole.err


@pytest.mark.rule("22.16")
def test_update_takes_a_whole_file(basecamp: Basecamp, dli: Dli, project: Path) -> None:
    basecamp.put_manual(CLICKS, OTHER_YAML, CLICKS_FILES)
    path = write_clicks(project)
    result = dli("dataset", "update", CLICKS, "--file", str(path))
    assert (result.status, result.out, manual_yaml(basecamp)) == (0, f"Updated: {CLICKS}\n", CLICKS_YAML)


def test_a_file_of_another_dataset_or_of_one_that_is_not_registered_is_refused(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    other = dli("dataset", "update", "other.name", "--file", str(path))
    assert (other.status, f"is the dataset '{CLICKS}', not 'other.name'." in other.err) == (2, True)
    new = dli("dataset", "update", CLICKS, "--file", str(path))
    assert (new.status, "Dataset not found. Register first: dli dataset register" in new.err) == (3, True)


@pytest.mark.rule("22.16")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "Nothing to change"),
        (["--cron", "0 9 * * *", "--file", "x.yaml"], "Give either --file"),
        (["--file", "nowhere.yaml"], "No such file"),
        (["--cron", "9"], "schedule.cron"),
        (["--cron", ""], "schedule.cron"),
        (["--timezone", "Seoul"], "not an IANA time zone"),
        (["--retry-max-attempts", "many"], "not a valid int"),
        (["--retry-max-attempts", "-1"], "schedule.retry.max_attempts"),
        (["--source", "all"], "--source"),
    ],
)
def test_a_wrong_update_is_refused_with_the_reason(
    basecamp: Basecamp, dli: Dli, options: list[str], reason: str
) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    result = dli("dataset", "update", CLICKS, *options)
    assert (result.status in {2, 3}, result.out, reason in result.err) == (True, "", True), result.err
    assert manual_yaml(basecamp) == CLICKS_YAML


def test_a_dataset_without_a_schedule_gets_one_with_a_cron(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual("a", spec_of("a"))
    refused = dli("dataset", "update", "a", "--disabled")
    assert refused.err == (
        "Error: This dataset has no schedule.\n       Give a cron expression as well to add one.\n"
    )
    assert dli("dataset", "update", "a", "--disabled", "--cron", "0 9 * * *").status == 0


# unregister


@pytest.mark.rule("22.17")
def test_unregister_removes_the_dataset(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    result = dli("dataset", "unregister", CLICKS)
    assert (result.status, result.out, result.err) == (0, f"Unregistered: {CLICKS}\n", "")
    assert not list(basecamp.store.list("manual/"))
    again = dli("dataset", "unregister", CLICKS)
    assert (again.status, again.out) == (3, "")


@pytest.mark.rule("16.6")
def test_unregister_of_a_dataset_of_code_is_refused_in_the_words_of_the_specification(
    basecamp: Basecamp, dli: Dli
) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_code(CLICKS, OTHER_YAML, CLICKS_FILES)
    result = dli("dataset", "unregister", CLICKS, "--yes")
    ways = (
        "       Running it (workflow run, backfill, retry, stop) works as for any dataset.\n"
        "       To remove it, delete its YAML in Git and deploy: dli code publish\n"
    )
    assert (result.status, result.out, result.err) == (4, "", MANAGED_BY_CODE + ways)
    kept = dli("dataset", "unregister", CLICKS, "--source", "manual")
    assert (kept.status, kept.out) == (0, f"Unregistered: {CLICKS}\n")
    assert kept.err == "Warning: The manual file was removed; the dataset keeps running from code.\n"
    assert manual_yaml(basecamp) is None


def start(dli: Dli) -> str:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert result.status == 0, result.err
    return result.out.removeprefix("Run started: ").strip()


@pytest.mark.rule("20.10")
def test_where_runs_are_active_and_nobody_can_be_asked_it_is_refused(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    run = start(dli)
    result = dli("dataset", "unregister", CLICKS)
    assert (result.status, result.out) == (4, "")
    assert result.err == (
        "Error: Runs of this dataset are active.\n"
        f"       {run}\n"
        "       Unregister it with --yes to let them end, or with --stop to end them.\n"
    )
    assert manual_yaml(basecamp) == CLICKS_YAML
    accepted = dli("dataset", "unregister", CLICKS, "--yes")
    assert (accepted.status, accepted.err) == (0, f"Keeps running: {run}\n")


@pytest.mark.rule("22.17")
def test_a_person_is_shown_the_runs_and_asked(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    run = start(dli)
    no = on_terminal(["dataset", "unregister", CLICKS], keys=[("Proceed? [y/N]:", "n\r")])
    assert (no.status, run in no.text, "Error: Not unregistered." in no.text) == (4, True, True)
    assert manual_yaml(basecamp) == CLICKS_YAML
    yes = on_terminal(["dataset", "unregister", CLICKS], keys=[("Proceed? [y/N]:", "y\r")])
    assert (yes.status, f"Unregistered: {CLICKS}" in yes.text) == (0, True)
    assert manual_yaml(basecamp) is None


@pytest.mark.rule("32.13")
def test_what_others_depend_on_is_removed_and_changed_with_consent_alone(
    basecamp: Basecamp, dli: Dli
) -> None:
    daily = 'schedule: {cron: "0 7 * * *"}\n'
    basecamp.put_manual("up", spec_of("up", more=daily), {})
    basecamp.put_manual("down", spec_of("down", more=f"depends_on: [up]\n{daily}"), {})
    refused = dli("dataset", "update", "up", "--cron", "0 7 * * 1")
    assert (refused.status, refused.out) == (4, "")
    assert refused.err == (
        "Error: With this change of 'up', other datasets would wait in vain.\n"
        "       down: would wait longer than 'timeout_seconds' for partitions of 'up'\n"
        "       Change them first, or confirm with --yes.\n"
    )
    assert dli("dataset", "update", "up", "--cron", "0 7 * * 1", "--yes").status == 0
    gone = dli("dataset", "unregister", "up")
    assert (gone.status, "down: depends on 'up'" in gone.err) == (4, True)
    no = on_terminal(["dataset", "unregister", "up"], keys=[("Proceed? [y/N]:", "n\r")])
    assert (no.status, "down: depends on 'up'" in no.text) == (4, True)
    yes = on_terminal(["dataset", "unregister", "up"], keys=[("Proceed? [y/N]:", "y\r")])
    assert (yes.status, "Unregistered: up" in yes.text) == (0, True)


@pytest.mark.rule("22.17")
def test_stop_ends_the_runs(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    run = start(dli)
    basecamp.start_attempt(run)
    result = dli("dataset", "unregister", CLICKS, "--stop")
    assert (result.status, result.err) == (0, f"Stopped: {run}\n")
    assert "KILLED" in dli("workflow", "status", run).out


# diff


@pytest.mark.rule("22.18")
def test_diff_shows_where_a_dataset_is_and_how_the_versions_differ(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES | {"daily_clicks.sql": "select 1\n"})
    basecamp.put_code(CLICKS, OTHER_YAML, CLICKS_FILES)
    write_clicks(project)
    result = dli("dataset", "diff", CLICKS)
    assert (result.status, result.err) == (0, "")
    table, *diffs = result.out.split("\n\n")
    rows = [line.split(maxsplit=3) for line in table.splitlines()[1:]]
    assert [row[0] for row in rows] == ["local", "manual", "code", "airflow"]
    assert [row[3] if len(row) > 3 else "" for row in rows] == [
        "",
        "overridden by code",
        "same as airflow",
        "same as code",
    ]
    assert rows[2][1] == rows[3][1]
    assert diffs[0].splitlines()[:2] == [
        f"--- airflow: code/{CLICKS}.yaml",
        f"+++ manual: manual/{CLICKS}.yaml",
    ]
    assert '-  cron: "0 5 * * *"\n+  cron: "0 9 * * *"' in diffs[0]
    assert diffs[1].splitlines()[:2] == ["--- airflow: daily_clicks.sql", "+++ manual: daily_clicks.sql"]
    assert diffs[2].splitlines()[1] == f"+++ local: datasets/dataset.{CLICKS}.yaml"
    assert len(diffs) == 3


def test_diff_of_what_is_the_same_everywhere_shows_the_table_alone(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    write_clicks(project)
    assert dli("dataset", "register", CLICKS).status == 0
    result = dli("dataset", "diff", CLICKS, "--exit-code")
    assert (result.status, len(result.out.splitlines())) == (0, 5)
    assert "same as manual, airflow" in result.out
    assert "not registered" in result.out
    (project / "datasets" / "daily_clicks.sql").write_text("select 2")
    changed = dli("dataset", "diff", CLICKS, "--exit-code")
    assert changed.status == 1
    assert "+select 2\n\\ No newline at end of file\n" in changed.out
    assert dli("dataset", "diff", CLICKS).status == 0


@pytest.mark.rule("22.18")
def test_diff_as_json_is_one_object(basecamp: Basecamp, dli: Dli, project: Path) -> None:
    write_clicks(project)
    basecamp.put_code(CLICKS, OTHER_YAML, CLICKS_FILES)
    found = json.loads(dli("dataset", "diff", CLICKS, "-f", "json").out)
    assert (found["name"], found["manual"], found["same"]) == (CLICKS, None, [["local"], ["code", "airflow"]])
    assert [(d["from"], d["to"], d["file"]) for d in found["differences"]] == [("airflow", "local", "YAML")]
    assert found["local"]["yaml"] == CLICKS_YAML


def test_diff_of_a_file_that_is_not_registered_and_of_nothing(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    here = dli("dataset", "diff", str(path))
    assert (here.status, here.out.count("not registered"), "not loaded" in here.out) == (0, 2, True)
    nowhere = dli("dataset", "diff", "other.name")
    assert (nowhere.status, nowhere.out) == (3, "")


def test_diff_shows_a_broken_local_file_and_no_control_characters(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    path = write_clicks(project)
    path.write_bytes(CLICKS_YAML.replace("Asia/Seoul", "Nowhere").replace("\n", "\r\n").encode())
    (project / "datasets" / "daily_clicks.sql").write_text("select '\x1b[2J'\n")
    result = dli("dataset", "diff", CLICKS)
    assert (result.status, "invalid: " in result.out) == (0, True)
    assert "+name: " + CLICKS + "^M" in result.out
    assert "\x1b" not in result.out
