from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataspec.models import RegisteredDataset
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_SQL, CLICKS_YAML, spec_of, write_clicks

# register


STORED_NOWHERE = (
    "he rows of the query are not stored: no statement writes them to a table. Add 'materialization: table'."
)


@pytest.mark.rule("22.14", "10.14")
def test_register_stores_the_yaml_as_it_is_and_its_sql(basecamp: Basecamp, dli: Dli, project: Path) -> None:
    basecamp.put_manual("first", spec_of("first"))
    yaml = "# our clicks, 한국어\n" + CLICKS_YAML
    write_clicks(project).write_text(yaml)
    result = dli("dataset", "register", CLICKS)
    assert (result.status, result.out) == (0, f"Registered: {CLICKS}\n")
    assert result.err.startswith(f"Warning: T{STORED_NOWHERE}")
    assert f"T{STORED_NOWHERE}" in dli("dataset", "show", CLICKS).err
    stored = basecamp.services.registered_specs.get(CLICKS)
    assert (stored.yaml, stored.files, stored.loaded) == (yaml, CLICKS_FILES, True)


@pytest.mark.rule("16.1")
def test_a_dataset_can_be_run_as_soon_as_it_is_registered(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    write_clicks(project)
    assert dli("dataset", "register", CLICKS).status == 0
    assert dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15").status == 0


def test_register_takes_the_path_of_a_file_and_replaces_an_earlier_version(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    assert dli("dataset", "register", str(path)).status == 0
    path.write_text(CLICKS_YAML.replace("0 9", "0 7"))
    result = dli("dataset", "register", f"datasets/{path.name}", "-f", "json")
    registered = json.loads(result.out)
    assert set(registered) == set(RegisteredDataset.__slots__)
    assert (registered["source_type"], registered["loaded"]) == ("manual", True)
    assert "0 7 * * *" in dli("workflow", "list").out


def test_register_does_not_wait_when_told_not_to(basecamp: Basecamp, dli: Dli, project: Path) -> None:
    write_clicks(project)
    result = dli("dataset", "register", CLICKS, "--no-wait", "-f", "json")
    assert (result.status, json.loads(result.out)["loaded"]) == (0, False)


def test_register_says_when_airflow_does_not_load_it_in_time(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    write_clicks(project)
    basecamp.loading = False
    result = dli("dataset", "register", CLICKS, "--wait-seconds", "1")
    assert (result.status, result.out) == (5, "")
    assert "has not loaded it within 1 s" in result.err


@pytest.mark.rule("22.14")
def test_register_checks_here_before_it_asks_the_server(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_SERVER_URL", "http://127.0.0.1:1")
    write_clicks(project).write_text(CLICKS_YAML.replace("Asia/Seoul", "Asia/Seol"))
    result = dli("dataset", "register", CLICKS)
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "Error: Invalid Dataset Spec.\n"
        f"       datasets/dataset.{CLICKS}.yaml:15:13: 'schedule.timezone': 'Asia/Seol' is not an IANA time "
        "zone. Did you mean 'Asia/Seoul'?\n"
    )


@pytest.mark.rule("22.15")
def test_a_name_that_code_has_is_not_registered_without_consent(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    write_clicks(project)
    result = dli("dataset", "register", CLICKS)
    assert (result.status, result.out) == (4, "")
    assert result.err == (
        "Warning: This dataset already exists in Code path.\n"
        "         Your Manual registration will be overridden by Code.\n"
        "         The Manual file will be kept but inactive.\n"
        "Error: Not registered.\n"
        "       To register it anyway, add --yes.\n"
    )
    assert not list(basecamp.store.list("manual/"))


@pytest.mark.rule("22.15")
def test_a_name_that_code_has_is_registered_with_yes_and_stays_overridden(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    write_clicks(project)
    result = dli("dataset", "register", CLICKS, "--yes")
    assert (result.status, result.out) == (0, f"Registered: {CLICKS}\n")
    assert "kept but inactive" in result.err
    assert "overridden" in dli("workflow", "list", "--source", "manual").out


@pytest.mark.parametrize(
    "options", [["--wait-seconds", "0"], ["--wait-seconds", "121"], ["--wait-seconds", "x"]]
)
def test_register_refuses_a_wait_that_the_server_would_refuse(dli: Dli, options: list[str]) -> None:
    assert dli("dataset", "register", CLICKS, *options).status == 2


def test_register_of_a_name_that_the_project_does_not_have_is_answered_with_3(
    dli: Dli, project: Path
) -> None:
    write_clicks(project)
    result = dli("dataset", "register", "iceberg.analytics.daily_click")
    assert (result.status, f"Did you mean '{CLICKS}'?" in result.err) == (3, True)


# validate


@pytest.mark.rule("22.19")
def test_validate_checks_the_whole_project_without_a_server(dli: Dli, project: Path) -> None:
    write_clicks(project)
    (project / "datasets" / "b.yaml").write_text(spec_of("b"))
    expected = f"Valid: b (datasets/b.yaml)\nValid: {CLICKS} (datasets/dataset.{CLICKS}.yaml)\n"
    for options in ([], ["--all"]):
        result = dli("dataset", "validate", *options)
        assert (result.status, result.out) == (0, expected)
        assert result.err.count(f"t{STORED_NOWHERE}") == 2


def test_validate_takes_names_and_files(dli: Dli, project: Path) -> None:
    write_clicks(project)
    (project / "datasets" / "b.yaml").write_text(spec_of("b"))
    assert dli("dataset", "validate", "b").out == "Valid: b (datasets/b.yaml)\n"
    assert len(dli("dataset", "validate", "datasets/b.yaml", CLICKS).out.splitlines()) == 2


def test_validate_shows_every_problem_of_every_file_at_its_place(dli: Dli, project: Path) -> None:
    folder = project / "datasets"
    (folder / "a.yaml").write_text(spec_of("a", more="tagz: []\nschedule: {cron: 0 99 * * *}\n"))
    (folder / "b.yaml").write_text(spec_of("b", more="parameters: [{name: x, type: integr}]\n"))
    (folder / "c.yaml").write_text(spec_of("b").replace("select 1", "insert into b select 1"))
    result = dli("dataset", "validate")
    assert (result.status, result.out) == (2, "")
    first, *places = result.err.splitlines()
    assert first == "Error: Invalid Dataset Spec (4 problems)."
    assert [line.split(": ")[0].strip() for line in places] == [
        "datasets/a.yaml:5:1",
        "datasets/a.yaml:6:18",
        "datasets/b.yaml:5:30",
        "datasets/c.yaml:1:7",
    ]


def test_validate_as_json_lists_what_is_wrong_with_each_file(dli: Dli, project: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("a", more="tagz: []\n"))
    (project / "datasets" / "b.yaml").write_text(spec_of("b"))
    result = dli("dataset", "validate", "-f", "json")
    bad, good = json.loads(result.out)
    assert (result.status, bad["valid"], good["valid"]) == (2, False, True)
    assert (bad["problems"][0]["line"], bad["problems"][0]["hint"]) == (5, "Did you mean 'tags'?")


def test_a_project_without_specs_is_not_valid(dli: Dli, project: Path) -> None:
    result = dli("dataset", "validate")
    assert (result.status, result.err.splitlines()[0]) == (3, "Error: No Dataset Spec in datasets.")


def test_names_and_all_do_not_go_together(dli: Dli, project: Path) -> None:
    assert dli("dataset", "validate", "a", "--all").status == 2


# list


@pytest.mark.rule("22.21")
def test_list_shows_the_project_without_a_server(dli: Dli, project: Path) -> None:
    write_clicks(project)
    (project / "datasets" / "b.yaml").write_text(spec_of("b", more="tagz: []\n"))
    result = dli("dataset", "list")
    assert result.out.splitlines() == [
        "DATASET                          OWNER                  CRON        TIMEZONE     FILE",
        "b                                -                      -           -            datasets/b.yaml",
        f"{CLICKS}   engineer@example.com   0 9 * * *   Asia/Seoul   datasets/dataset.{CLICKS}.yaml",
    ]
    assert result.err == "Warning: datasets/b.yaml is not valid: dli dataset validate datasets/b.yaml\n"
    assert [item["name"] for item in json.loads(dli("dataset", "list", "-f", "json").out)] == ["b", CLICKS]


def test_list_of_another_project(dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clicks(project)
    monkeypatch.chdir(project.parent)
    assert CLICKS in dli("dataset", "list", "--path", "project").out
    assert CLICKS in dli("--path", "project", "dataset", "list").out


def test_list_reads_the_folder_that_the_settings_name(dli: Dli, project: Path) -> None:
    (project / "dli.yaml").write_text("datasets_dir: specs\n")
    (project / "specs").mkdir()
    (project / "specs" / "x.yaml").write_text(spec_of("x"))
    assert "specs/x.yaml" in dli("dataset", "list").out


@pytest.mark.rule("22.21")
def test_list_registered_asks_the_server(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    header, *rows = dli("dataset", "list", "--registered").out.splitlines()
    assert header.split() == ["DATASET", "SOURCE", "EFFECTIVE", "LOADED", "SPEC", "FILE"]
    assert [row.split()[1:4] for row in rows] == [["code", "yes", "yes"], ["manual", "no", "no"]]
    items = json.loads(dli("dataset", "list", "--registered", "--source", "manual", "-f", "json").out)
    assert [set(item) for item in items] == [set(RegisteredDataset.__slots__)]


def test_a_filter_by_source_is_for_what_is_registered(dli: Dli, project: Path) -> None:
    assert dli("dataset", "list", "--source", "code").status == 2
    assert dli("dataset", "show", "x", "--source", "code").status == 2


# show


@pytest.mark.rule("2.10", "22.22")
def test_show_describes_a_spec_of_the_project(dli: Dli, project: Path) -> None:
    write_clicks(project)
    out = dli("dataset", "show", CLICKS).out
    assert f"File:         datasets/dataset.{CLICKS}.yaml\n" in out
    assert "Schedule:     0 9 * * * Asia/Seoul\n" in out
    assert "Parameters:   execution_date (string, required)\n" in out
    assert "              limit (integer, optional, default 100)\n" in out


@pytest.mark.rule("22.22")
def test_show_tells_which_tables_a_dataset_reads_and_writes(dli: Dli, project: Path) -> None:
    spec = spec_of("b").replace("select 1", "insert into s.b select * from s.b, raw.x")
    (project / "datasets" / "b.yaml").write_text(spec)
    out = dli("dataset", "show", "b").out
    assert "Reads:       raw.x\nWrites:      s.b\n" in out
    shown = json.loads(dli("dataset", "show", "b", "-f", "json").out)
    assert (shown["reads"], shown["writes"]) == (["raw.x"], ["s.b"])


@pytest.mark.rule("22.21")
def test_show_registered_tells_them_as_the_server_does(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    assert "Reads:        clicks\n" in dli("dataset", "show", CLICKS, "--registered").out
    shown = json.loads(dli("dataset", "show", CLICKS, "--registered", "-f", "json").out)
    assert (shown["reads"], shown["writes"]) == (["clicks"], [])
    (listed,) = json.loads(dli("dataset", "list", "--registered", "-f", "json").out)
    assert (listed["reads"], listed["writes"]) == (None, None)


def test_show_sql_prints_the_sql_as_it_is_written(dli: Dli, project: Path) -> None:
    write_clicks(project)
    assert dli("dataset", "show", CLICKS, "--sql").out == CLICKS_SQL
    (project / "datasets" / "b.yaml").write_text(
        spec_of("b", more="pre_statements: [{name: clear, sql: delete from b}]\n")
    )
    assert dli("dataset", "show", "b", "--sql").out == "-- clear\ndelete from b\n\n-- query\nselect 1\n"


def test_show_as_json_has_the_spec_the_yaml_and_the_sql(dli: Dli, project: Path) -> None:
    write_clicks(project)
    shown = json.loads(dli("dataset", "show", CLICKS, "-f", "json").out)
    assert (shown["spec"]["schedule"]["cron"], shown["yaml"], shown["files"]) == (
        "0 9 * * *",
        CLICKS_YAML,
        CLICKS_FILES,
    )


@pytest.mark.rule("22.21")
def test_show_registered_shows_what_the_server_has(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_manual(CLICKS, CLICKS_YAML.replace("0 9", "0 8"), CLICKS_FILES)
    assert "Source:       code, effective\n" in dli("dataset", "show", CLICKS, "--registered").out
    manual = dli("dataset", "show", CLICKS, "--registered", "--source", "manual").out
    assert "Source:       manual, overridden\n" in manual
    assert "Schedule:     0 8 * * *" in manual
    assert dli("dataset", "show", CLICKS, "--registered", "--sql").out == CLICKS_SQL
    assert set(json.loads(dli("dataset", "show", CLICKS, "--registered", "-f", "json").out)) == set(
        RegisteredDataset.__slots__
    )
    assert dli("dataset", "show", "other", "--registered").status == 3


# run


@pytest.mark.rule("22.29")
@pytest.mark.parametrize("group", ["dataset", "workflow"])
def test_the_help_of_both_commands_named_run_states_their_difference(dli: Dli, group: str) -> None:
    out = dli(group, "run", "--help").out
    for line in (
        "dli dataset run               dli workflow run",
        "runs on           this machine                  the server (Airflow)",
        "needs the server  no                            yes",
        "kept in Airflow",
    ):
        assert line in out
