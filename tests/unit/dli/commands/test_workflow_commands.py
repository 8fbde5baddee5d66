from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from basecamp.shared.last_known import ListPage
from dataspec.models import Late, WorkflowInfo, WorkflowRun
from dataspec.store.base import MISSING
from unit.dli.basecamp import NOW, Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of, write_clicks

RUN_ID = f"{CLICKS}_20240115_093045"
SUMMARY = "reports.ad_hoc_summary"
SUMMARY_YAML = spec_of(SUMMARY, more='schedule: {cron: "0 12 * * 1"}\n')


@pytest.fixture
def clicks(basecamp: Basecamp) -> Basecamp:
    """A server with one dataset, from code."""
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    return basecamp


def start(dli: Dli) -> str:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert result.status == 0
    return result.out.removeprefix("Run started: ").strip()


# run


@pytest.mark.rule("20.1", "22.1")
def test_run_prints_the_run_id_and_nothing_else(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert (result.status, result.out, result.err) == (0, f"Run started: {RUN_ID}\n", "")


@pytest.mark.rule("19.15")
def test_run_gives_the_parameters_and_who_asked_to_airflow(clicks: Basecamp, dli: Dli) -> None:
    dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15", "-p", "limit=7")
    run = clicks.airflow.get_run(CLICKS, RUN_ID)
    assert run is not None
    assert (run.conf["execution_date"], run.conf["limit"]) == ("2024-01-15", 7)
    assert run.conf["_dli"]["requested_by"] == "dana"


@pytest.mark.rule("20.9")
def test_run_takes_the_path_of_the_datasets_file(clicks: Basecamp, dli: Dli, project: Path) -> None:
    (project / "datasets" / "x.yaml").write_text(CLICKS_YAML)
    result = dli("workflow", "run", "datasets/x.yaml", "-p", "execution_date=2024-01-15")
    assert result.out == f"Run started: {RUN_ID}\n"


@pytest.mark.rule("20.2")
def test_run_as_json_prints_the_run_with_the_apis_fields(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15", "-f", "json")
    assert set(json.loads(result.out)) == set(WorkflowRun.__slots__)


@pytest.mark.rule("22.1")
def test_a_dry_run_shows_parameters_and_sql_and_starts_nothing(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15", "--dry-run")
    assert result.status == 0
    assert "Parameters:  execution_date=2024-01-15\n             limit=100\n" in result.out
    assert "-- 1 of 1\nselect * from clicks where day = '2024-01-15' limit 100\n" in result.out
    assert clicks.airflow.get_run(CLICKS, RUN_ID) is None


DRY = ("-p", "execution_date=2024-01-15", "--dry-run")


def test_a_dry_run_names_the_tables_that_are_read_and_written(basecamp: Basecamp, dli: Dli) -> None:
    query = "insert into daily select * from clicks where day = '{{ execution_date }}' limit {{ limit }}"
    basecamp.put_code(CLICKS, CLICKS_YAML, {"daily_clicks.sql": query})
    out = dli("workflow", "run", CLICKS, *DRY).out
    assert "Reads:       clicks\nWrites:      daily\n" in out
    shown = json.loads(dli("workflow", "run", CLICKS, *DRY, "-f", "json").out)
    assert (shown["reads"], shown["writes"], shown["registered"]) == (["clicks"], ["daily"], True)


@pytest.mark.rule("22.2")
@pytest.mark.parametrize("named", [f"datasets/dataset.{CLICKS}.yaml", CLICKS])
def test_a_dry_run_of_a_spec_that_is_not_registered_is_that_of_the_project(
    basecamp: Basecamp, dli: Dli, project: Path, named: str
) -> None:
    write_clicks(project)
    result = dli("workflow", "run", named, *DRY)
    assert result.status == 0, result.err
    assert "Source:      not registered (spec " in result.out
    assert "select * from clicks where day = '2024-01-15' limit 100\n" in result.out
    assert ("This dataset is not registered yet" in result.err) is (named == CLICKS)
    assert list(basecamp.store.list("manual/")) == []


def test_a_dry_run_of_another_project_is_asked_for_with_its_path(
    basecamp: Basecamp, dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clicks(project)
    monkeypatch.chdir(project.parent)
    assert dli("workflow", "run", CLICKS, *DRY).status == 3
    result = dli("workflow", "run", CLICKS, *DRY, "--path", "project")
    assert (result.status, "not registered" in result.out) == (0, True)


@pytest.mark.rule("22.2")
def test_a_dry_run_of_a_file_is_of_that_file_and_of_a_name_of_what_is_registered(
    clicks: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    (path.parent / "daily_clicks.sql").write_text("select 'mine'")
    assert "select 'mine'" in dli("workflow", "run", str(path), *DRY).out
    assert "select 'mine'" not in dli("workflow", "run", CLICKS, *DRY).out
    assert "select 'mine'" not in dli("workflow", "run", str(path), "--source", "code", *DRY).out


@pytest.mark.rule("22.2")
def test_a_dry_run_tells_where_in_the_users_file_the_sql_is_wrong(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    path.write_text(CLICKS_YAML + "execution:\n  dialect: duckdb\n")
    (path.parent / "daily_clicks.sql").write_text("select {{ limit }}\nfrom clicks where = 1\n")
    result = dli("workflow", "run", "datasets/" + path.name, *DRY)
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[0] == "Error: The SQL is not valid duckdb."
    assert "datasets/daily_clicks.sql:2:" in result.err


def test_a_dry_run_checks_the_parameters_of_the_spec_that_is_sent(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    path = str(write_clicks(project))
    assert dli("workflow", "run", path, "--dry-run").err.startswith(
        "Error: Missing required parameter: execution_date"
    )
    result = dli("workflow", "run", path, "-p", "x=1", "--dry-run")
    assert (result.status, "Error: Unknown parameter 'x'." in result.err) == (2, True)


def test_a_dry_run_of_what_nobody_knows_is_answered_as_the_specification_says(
    basecamp: Basecamp, dli: Dli
) -> None:
    result = dli("workflow", "run", "no.such", "--dry-run")
    assert result.status == 3
    assert result.err.startswith("Error: Dataset not found. Register first: dli dataset register")


def test_a_missing_parameter_is_named_as_the_specification_says(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS)
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[0] == "Error: Missing required parameter: execution_date"


def test_an_unknown_parameter_is_answered_with_the_session_of_the_specification(
    clicks: Basecamp, dli: Dli
) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "undefined_param=value")
    assert result.status == 2
    assert result.err == (
        "Error: Unknown parameter 'undefined_param'.\n"
        "Allowed parameters: execution_date (required), limit (optional)\n"
    )


def test_a_value_of_the_wrong_type_is_refused(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15", "-p", "limit=many")
    assert result.status == 2
    assert "Invalid value for parameter 'limit'" in result.err


@pytest.mark.rule("20.7")
@pytest.mark.parametrize("parameter", ["limit", "=1", " =1"])
def test_a_parameter_without_a_key_and_a_value_is_refused(clicks: Basecamp, dli: Dli, parameter: str) -> None:
    result = dli("workflow", "run", CLICKS, "-p", parameter)
    assert result.status == 2
    assert f"'{parameter}' is not KEY=VALUE." in result.err


@pytest.mark.rule("20.7")
def test_a_parameter_given_twice_is_refused(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "limit=1", "-p", "limit=2")
    assert (result.status, "'limit' is given twice." in result.err) == (2, True)


@pytest.mark.rule("20.7")
def test_a_value_may_hold_an_equals_sign(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=a=b")
    assert "got 'a=b'" in result.err


@pytest.mark.rule("20.14")
def test_a_dataset_that_is_not_registered_is_answered_as_the_specification_says(
    clicks: Basecamp, dli: Dli
) -> None:
    result = dli("workflow", "run", "iceberg.analytics.daily_click")
    assert result.status == 3
    first, *more = result.err.splitlines()
    assert first == "Error: Dataset not found. Register first: dli dataset register"
    assert f"Did you mean '{CLICKS}'?" in " ".join(more)


@pytest.mark.rule("20.8")
def test_an_overridden_spec_is_not_run(clicks: Basecamp, dli: Dli) -> None:
    clicks.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    result = dli("workflow", "run", CLICKS, "--source", "manual", "-p", "execution_date=2024-01-15")
    assert result.status == 4
    assert result.err.splitlines()[0] == "Error: This dataset is overridden by Code. Use the Code version."


@pytest.mark.rule("20.13")
def test_a_server_that_is_not_there_is_answered_as_the_specification_says(
    dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = dli("workflow", "list", "--server-url", "http://127.0.0.1:1")
    assert (result.status, result.out) == (5, "")
    assert result.err == (
        "Error: Cannot connect to server. Check your connection settings.\n"
        "       http://127.0.0.1:1: connection refused\n"
        "       Start one with: basecamp dev, or set DLI_SERVER_URL\n"
    )


@pytest.mark.rule("20.4")
def test_an_airflow_that_does_not_answer_ends_with_5(clicks: Basecamp, dli: Dli) -> None:
    clicks.airflow.down = "connection refused"
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert (result.status, "Airflow does not answer." in result.err) == (5, True)


# wait


@pytest.mark.rule("20.15")
def test_wait_follows_a_run_to_its_end(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.complete(run_id)
    result = dli("workflow", "status", run_id, "--wait")
    assert result.status == 0
    assert "Status:      COMPLETED" in result.out
    assert result.err == "Run completed after 0s.\n"


@pytest.mark.rule("20.4")
def test_wait_ends_with_1_for_a_run_that_failed_and_says_why(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.fail(run_id)
    result = dli("workflow", "status", run_id, "--wait", "-f", "json")
    assert (result.status, json.loads(result.out)["status"]) == (1, "FAILED")
    assert "Binder Error: no table 'clicks'" in result.err
    assert f"dli workflow logs {run_id}" in result.err


def test_wait_ends_with_1_for_a_run_that_was_stopped(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    dli("workflow", "stop", run_id)
    result = dli("workflow", "status", run_id, "--wait")
    assert (result.status, "Run killed" in result.err) == (1, True)


@pytest.mark.rule("20.15")
def test_a_wait_that_is_too_long_leaves_the_run_and_says_so(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15", "--wait", "--timeout", "0.2")
    assert (result.status, result.out) == (1, f"Run started: {RUN_ID}\n")
    assert "has not finished within 0.2 s; it keeps running." in result.err
    assert f"dli workflow stop {RUN_ID}" in result.err


def test_a_timeout_without_a_wait_is_refused(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "status", RUN_ID, "--timeout", "3").status == 2
    assert dli("workflow", "run", CLICKS, "--timeout", "3").status == 2


# list


@pytest.fixture
def several(basecamp: Basecamp, dli: Dli) -> Basecamp:
    """The datasets of the example in specification 22.5."""
    metrics = "iceberg.analytics.user_metrics"
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_manual(CLICKS, CLICKS_YAML.replace("0 9", "0 8"), CLICKS_FILES)
    basecamp.put_code(metrics, spec_of(metrics, more='schedule: {cron: "0 10 * * *"}\n'))
    basecamp.put_manual(SUMMARY, SUMMARY_YAML)
    assert dli("workflow", "pause", metrics).status == 0
    return basecamp


@pytest.mark.rule("22.5", "22.6", "22.37")
def test_list_prints_the_table_of_the_specification(several: Basecamp, dli: Dli) -> None:
    several.fail(start(dli))
    last = "FAILED 2024-01-15 18:30:45"
    result = dli("workflow", "list")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        "DATASET                          SOURCE   STATUS       CRON         NEXT RUN                      LAST RUN",
        f"iceberg.analytics.daily_clicks   code     active       0 9 * * *    2024-01-16 09:00 Asia/Seoul   {last}",
        "iceberg.analytics.user_metrics   code     paused       0 10 * * *   -                             -",
        "reports.ad_hoc_summary           manual   active       0 12 * * 1   2024-01-15 12:00 UTC          -",
        "iceberg.analytics.daily_clicks   manual   overridden   0 8 * * *    - (overridden by code)        -",
    ]


@pytest.mark.rule("19.7", "20.2")
def test_list_as_json_is_an_array_with_the_apis_fields(several: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "list", "--format", "json")
    rows = json.loads(result.out)
    assert [set(row) for row in rows] == [set(WorkflowInfo.__slots__)] * 4
    assert rows[0]["next_run"] == "2024-01-16T09:00:00+09:00"


@pytest.mark.rule("20.8", "22.5")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--source", "code"], 2),
        (["--source", "manual"], 2),
        (["--source", "all"], 4),
        (["--enabled-only"], 2),
        (["--dataset", CLICKS], 2),
        (["-d", "iceberg.*"], 3),
        (["-d", "iceberg*.x"], 0),
        (["--running"], 0),
    ],
)
def test_list_filters(several: Basecamp, dli: Dli, options: list[str], count: int) -> None:
    assert len(json.loads(dli("workflow", "list", "-f", "json", *options).out)) == count


@pytest.mark.rule("22.7")
def test_list_of_running_datasets_adds_the_run_and_its_start(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.start_attempt(run_id)
    header, row = dli("workflow", "list", "--running").out.splitlines()
    assert header.split("   ")[-1].strip() == "STARTED"
    assert "RUN ID" in header
    assert row.endswith(f"{run_id}   2024-01-15 18:30:45")


def test_a_spec_without_a_schedule_has_no_cron_and_no_next_run(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual("plain", spec_of("plain"))
    assert dli("workflow", "list").out.splitlines()[1].split() == ["plain", "manual", "active", "-", "-", "-"]


@pytest.mark.rule("22.7")
def test_an_invalid_spec_is_listed_and_the_reason_told_beside_the_table(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code("bad", spec_of("bad", more="tagz: []\n"))
    result = dli("workflow", "list")
    assert result.out.splitlines()[1].split() == ["bad", "code", "invalid", "-", "-", "-"]
    assert result.err == "Warning: bad: code/bad.yaml:5:1: unknown key 'tagz'. Did you mean 'tags'?\n"


def test_an_empty_list_says_how_to_register(basecamp: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "list")
    assert (result.status, result.out) == (0, "DATASET   SOURCE   STATUS   CRON   NEXT RUN   LAST RUN\n")
    assert "dli dataset register" in result.err
    assert dli("workflow", "list", "-f", "json").out == "[]\n"


def test_figures_that_are_old_are_shown_with_a_warning(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "list").status == 0
    clicks.airflow.down = "connection refused"
    result = dli("workflow", "list")
    assert (result.status, CLICKS in result.out) == (0, True)
    assert result.err.startswith("Warning: ")


# status, stop, logs


@pytest.mark.rule("22.4")
def test_status_shows_what_is_known_of_a_run(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.complete(run_id)
    result = dli("workflow", "status", run_id)
    lines = dict(line.split(":", 1) for line in result.out.splitlines() if ":" in line[:13])
    assert {key: lines[key].strip() for key in ("Run", "Status", "Started", "Attempts")} == {
        "Run": run_id,
        "Status": "COMPLETED",
        "Started": "2024-01-15 18:30:45",
        "Attempts": "1 of 2",
    }
    assert lines["Source"].strip().startswith("code (spec ")


@pytest.mark.rule("12.8")
def test_a_run_that_no_attempt_started_of_has_no_source_yet(clicks: Basecamp, dli: Dli) -> None:
    out = dli("workflow", "status", start(dli)).out
    assert "Status:      PENDING\n" in out
    assert "Source:      -\n" in out


@pytest.mark.rule("20.4")
@pytest.mark.parametrize("run_id", [RUN_ID, "nope", "a/b", "manual__2024-01-15T00:00:00+00:00"])
@pytest.mark.parametrize("command", ["status", "stop", "logs"])
def test_a_run_that_is_not_there_is_answered_with_3(
    clicks: Basecamp, dli: Dli, command: str, run_id: str
) -> None:
    result = dli("workflow", command, run_id)
    assert (result.status, result.err.startswith(f"Error: Run not found: {run_id}")) == (3, True)


@pytest.mark.rule("26.8")
@pytest.mark.parametrize("run_id", ["", "  ", ".", ".."])
def test_what_can_be_no_run_id_is_refused(clicks: Basecamp, dli: Dli, run_id: str) -> None:
    assert dli("workflow", "status", run_id).status == 2


@pytest.mark.rule("22.9")
def test_stop_ends_a_run_and_keeps_who_and_why(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.start_attempt(run_id)
    result = dli("workflow", "stop", run_id, "--reason", "wrong date")
    assert (result.status, result.out, result.err) == (0, f"Stopped: {run_id}\n", "")
    status = dli("workflow", "status", run_id).out
    assert "Status:      KILLED" in status
    assert "Stopped by dana" in status
    assert "wrong date" in status


@pytest.mark.rule("22.9")
def test_a_second_stop_is_harmless_and_a_finished_run_stays_as_it_ended(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    assert dli("workflow", "stop", run_id).out == f"Stopped: {run_id}\n"
    assert dli("workflow", "stop", run_id).out == f"Stopped: {run_id}\n"
    other = start(dli)
    clicks.complete(other)
    result = dli("workflow", "stop", other)
    assert (result.status, result.out) == (0, f"Already ended: {other} (COMPLETED)\n")


@pytest.mark.rule("20.1", "22.11")
def test_logs_prints_the_log_and_nothing_else(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.start_attempt(run_id)
    clicks.log(run_id, "한국어 \x1b[31mred\x1b[0m\tand a tab")
    result = dli("workflow", "logs", run_id)
    (line,) = result.out.splitlines()
    assert "한국어 red" in line
    assert line.isprintable()
    assert result.err == ""


def test_logs_of_a_run_that_has_not_started_says_so(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "logs", start(dli))
    assert (result.status, result.out, result.err) == (0, "", "The run has not started yet.\n")


@pytest.mark.rule("22.11")
def test_logs_of_one_attempt(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli)
    clicks.fail(run_id)
    log = json.loads(dli("workflow", "logs", run_id, "--attempt", "1", "-f", "json").out)
    assert (log["attempt"], log["attempts"], len(log["lines"])) == (1, 2, 1)
    assert dli("workflow", "logs", run_id, "--attempt", "3").status == 3


@pytest.mark.rule("22.11")
def test_logs_follow_ends_when_the_run_has_ended_with_the_lines_of_every_attempt(
    clicks: Basecamp, dli: Dli
) -> None:
    run_id = start(dli)
    clicks.fail(run_id)
    clicks.clock.let_pass(60)
    result = dli("workflow", "logs", run_id, "--follow")
    assert (result.status, len(result.out.splitlines()), result.err) == (0, 2, "Attempt 2.\n")


def test_logs_follow_is_for_people(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "logs", RUN_ID, "--follow", "-f", "json").status == 2


# pause, unpause


@pytest.mark.rule("22.12")
def test_a_paused_dataset_is_not_run_and_the_error_names_the_way_out(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "pause", CLICKS).out == f"Paused: {CLICKS}\n"
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert (result.status, f"dli workflow unpause {CLICKS}" in result.err) == (4, True)
    assert dli("workflow", "unpause", CLICKS).out == f"Unpaused: {CLICKS}\n"
    assert dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15").status == 0


@pytest.mark.rule("7.4", "22.12")
def test_a_dataset_that_is_not_paused_can_not_be_resumed(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "unpause", CLICKS)
    assert (result.status, result.out, result.err) == (4, "", "Error: This dataset is not paused.\n")


@pytest.mark.rule("7.6")
def test_a_dataset_whose_schedule_is_off_is_resumed_with_a_hint(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual("off", spec_of("off", more='schedule: {cron: "0 1 * * *", enabled: false}\n'))
    dli("workflow", "pause", "off")
    result = dli("workflow", "unpause", "off")
    assert (result.status, result.out) == (0, "Unpaused: off\n")
    assert "schedule.enabled: true" in result.err


@pytest.mark.rule("7.9")
@pytest.mark.parametrize("command", ["pause", "unpause"])
def test_an_overridden_spec_can_not_be_paused(clicks: Basecamp, dli: Dli, command: str) -> None:
    clicks.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    result = dli("workflow", command, CLICKS, "--source", "manual")
    assert (result.status, "overridden by Code" in result.err) == (4, True)


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b", "x" * 300])
def test_what_can_be_no_name_is_refused(clicks: Basecamp, dli: Dli, name: str) -> None:
    result = dli("workflow", "pause", name)
    assert (result.status, result.err.startswith("Error: Invalid dataset name")) == (2, True)


# partitions


@pytest.mark.rule("30.13")
@pytest.mark.rule("30.14")
@pytest.mark.rule("30.43")
def test_a_date_off_the_schedule_is_warned_of_and_an_hour_is_named(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML.replace("0 9 * * *", "0 9 * * 1"), CLICKS_FILES)
    for more in ([], ["--dry-run"]):
        result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-16", *more)
        assert result.err.startswith(
            "Warning: No partition of the schedule '0 9 * * 1' in Asia/Seoul starts on"
        )
    hourly = CLICKS_YAML.replace("0 9 * * *", "0 * * * *").replace(CLICKS, "hourly")
    basecamp.put_manual("hourly", hourly, CLICKS_FILES)
    result = dli("workflow", "run", "hourly", "-p", "execution_date=2024-01-15T13:00")
    spanned = "2024-01-15 13:00 (2024-01-15T13:00+09:00 to 2024-01-15T14:00+09:00)"
    assert result.err == f"Partition: {spanned}\n"
    status = dli("workflow", "status", result.out.removeprefix("Run started: ").strip())
    assert spanned in status.out
    assert "   2024-01-15 13:00   " in dli("workflow", "history").out
    assert "   2024-01-15 13:00   " in dli("workflow", "history", "--partition", "2024-01-15").out
    assert "2024-01-15 13:00" not in dli("workflow", "history", "--partition", "2024-01-15T14:00").out
    wrong = dli("workflow", "history", "--partition", "soon")
    assert wrong.status == 2
    assert "'soon' is no partition" in wrong.err
    refused = dli("workflow", "run", "hourly", "-p", "execution_date=2024-01-15T13:20")
    assert refused.status == 2
    assert "The nearest are 2024-01-15T13:00+09:00 and 2024-01-15T14:00+09:00." in refused.err


# history


@pytest.mark.rule("22.8")
def test_history_lists_runs_newest_first_with_the_version_that_each_ran(clicks: Basecamp, dli: Dli) -> None:
    first, second = start(dli), start(dli)
    clicks.complete(first)
    result = dli("workflow", "history")
    header, *rows = result.out.splitlines()
    assert header.split("   ")[0] == "RUN ID"
    assert [row.split()[0] for row in rows] == [second, first]
    assert rows[0].split()[1:] == ["-", "-", "adhoc", "2024-01-15", "PENDING", "-", "-"]
    assert rows[1].split()[3:] == ["adhoc", "2024-01-15", "COMPLETED", "2024-01-15", "18:30:45", "0s"]
    assert "PARTITION" in header


@pytest.mark.rule("22.8")
def test_history_says_why_runs_failed(clicks: Basecamp, dli: Dli) -> None:
    failed, completed = start(dli), start(dli)
    clicks.fail(failed)
    clicks.complete(completed)
    header, *rows = dli("workflow", "history").out.splitlines()
    column = header.index("ERROR")
    assert [row[column:] for row in rows] == ["-", "Binder Error: no table 'clicks'"]
    assert "ERROR" not in dli("workflow", "history", "-s", "COMPLETED").out


@pytest.mark.rule("20.8")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["-s", "completed"], 1),
        (["--status", "FAILED"], 0),
        (["-n", "1"], 1),
        (["-d", "iceberg.*"], 2),
        (["-d", "other.*"], 0),
        (["--run-type", "scheduled"], 0),
        (["--source", "code"], 1),
        (["--source", "manual"], 0),
        (["--since", "2024-01-15"], 2),
        (["--since", "2024-01-15T18:31"], 0),
        (["--until", "2024-01-15"], 2),
        (["--until", "2024-01-14"], 0),
    ],
)
def test_history_filters(clicks: Basecamp, dli: Dli, options: list[str], count: int) -> None:
    clicks.complete(start(dli))
    start(dli)
    assert len(json.loads(dli("workflow", "history", "-f", "json", *options).out)) == count


def test_history_of_a_dataset_that_is_not_registered_is_answered_with_3(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "history", "-d", "other").status == 3


def test_history_names_the_dataset_where_a_run_id_does_not(clicks: Basecamp, dli: Dli) -> None:
    clicks.airflow.trigger(CLICKS, "manual__2024", logical_date=NOW, conf={})
    header, row = dli("workflow", "history").out.splitlines()
    assert (header.split()[0], row.split()[:2]) == ("DATASET", [CLICKS, "manual__2024"])
    assert dli("workflow", "status", "manual__2024", "-d", CLICKS).status == 0


@pytest.mark.rule("22.8")
def test_history_goes_over_all_pages_up_to_its_limit(clicks: Basecamp, dli: Dli) -> None:
    for number in range(150):
        run_id = f"{CLICKS}_20230101_{number:06}"
        clicks.airflow.trigger(CLICKS, run_id, logical_date=NOW - timedelta(hours=number + 1), conf={})
    assert len(json.loads(dli("workflow", "history", "-f", "json", "-n", "140").out)) == 140
    assert len(json.loads(dli("workflow", "history", "-f", "json").out)) == 20


@pytest.mark.parametrize("options", [["-n", "0"], ["-s", "done"], ["--since", "soon"], ["--run-type", "x"]])
def test_history_refuses_filters_that_make_no_sense(clicks: Basecamp, dli: Dli, options: list[str]) -> None:
    assert dli("workflow", "history", *options).status == 2


# sync


@pytest.mark.rule("22.13")
def test_a_sync_prints_what_changed_and_the_specs_that_cannot_be_used(basecamp: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "sync").status == 0
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.store.put("code/broken.yaml", b"type: Dataset\nname: broken\n", expected=MISSING)
    result = dli("workflow", "sync")
    assert [line.split() for line in result.out.splitlines()] == [
        ["CHANGE", "DATASET", "SOURCE", "FILE"],
        ["added", CLICKS, "manual", f"manual/{CLICKS}.yaml"],
    ]
    assert "code/broken.yaml can't be used." in result.err
    assert "'owner'" in result.err
    assert result.err.endswith("Checked 2 specs: 1 change, 1 can't be used.\n")
    again = dli("workflow", "sync")
    assert (again.status, again.out) == (0, "")
    assert again.err.endswith("Checked 2 specs: nothing changed, 1 can't be used.\n")


@pytest.mark.rule("22.13")
def test_a_sync_names_the_datasets_whose_id_another_dag_has(clicks: Basecamp, dli: Dli) -> None:
    clicks.airflow.take_over(CLICKS)
    assert f"Another DAG has the id of the dataset '{CLICKS}'" in dli("workflow", "sync").err


@pytest.mark.rule("38.17")
def test_list_of_failed_datasets_says_since_when_and_how_often(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "list", "--status", "failed").out.splitlines()[1:] == []
    for _ in range(2):
        run_id = start(dli)
        clicks.start_attempt(run_id)
        clicks.airflow.set_run_state(CLICKS, run_id, "failed", note="")
        clicks.clock.let_pass(1)
    clicks.clock.let_pass(60)
    (line,) = dli("workflow", "list", "--status", "failed").out.splitlines()[1:]
    assert line.startswith(f"{CLICKS} ")
    assert line.rstrip().endswith(" 2")
    assert "(2 failed in a row)" in line
    assert dli("workflow", "list", "--late").out.splitlines()[1:] == []


@pytest.mark.rule("38.17")
def test_list_names_the_oldest_late_partition_below_the_table(
    clicks: Basecamp, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Late(partition="2024-01-13", partition_label="2024-01-13", since=NOW, partitions=2)
    row = replace(clicks.services.workflows.get(CLICKS).value, late=late)
    monkeypatch.setattr(clicks.services.workflows, "page", lambda *_, **__: ListPage(items=[row]))
    found = dli("workflow", "list", "--late")
    (line,) = found.out.splitlines()[1:]
    assert " 2024-01-13 and 1 more " in line
    assert f"{CLICKS} is late: 2024-01-13 and 1 more since " in found.err
