from __future__ import annotations

from pathlib import Path

import pytest

from dataspec.errors import InvalidName, InvalidSpec, NotFound
from dli.project.project import Project
from unit.dli.specs import CLICKS, CLICKS_SQL, CLICKS_YAML, spec_of, write_clicks


@pytest.fixture
def shop(project: Path) -> Project:
    return Project(project, project / "datasets")


def problems(error: pytest.ExceptionInfo[InvalidSpec]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


@pytest.mark.rule("20.9")
def test_a_dataset_is_found_by_its_name_and_by_its_file(shop: Project, project: Path) -> None:
    write_clicks(project)
    by_name = shop.find(CLICKS)
    assert by_name == shop.find(f"datasets/dataset.{CLICKS}.yaml")
    assert (by_name.file, by_name.yaml, by_name.sql) == (
        f"datasets/dataset.{CLICKS}.yaml",
        CLICKS_YAML.encode(),
        {"daily_clicks.sql": CLICKS_SQL},
    )
    assert by_name.checked().name == CLICKS


def test_a_file_is_found_from_the_projects_folder_too(
    shop: Project, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clicks(project)
    monkeypatch.chdir(project.parent)
    assert shop.find(f"datasets/{path.name}").file == f"project/datasets/{path.name}"


@pytest.mark.rule("2.1")
def test_specs_are_found_in_every_folder_whatever_their_files_are_called(
    shop: Project, project: Path
) -> None:
    deep = project / "datasets" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "one.yml").write_text(spec_of("deep.one"))
    (project / "datasets" / "two.yaml").write_text(spec_of("two"))
    assert [dataset.name for dataset in shop.datasets()] == ["two", "deep.one"]


def test_other_yaml_and_hidden_folders_are_passed_over(shop: Project, project: Path) -> None:
    folder = project / "datasets"
    (folder / "schema.yaml").write_text("type: Metric\nname: m\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.yaml").write_text(spec_of("hidden"))
    assert list(shop.datasets()) == []


def test_a_spec_that_can_not_be_read_is_shown_not_passed_over(shop: Project, project: Path) -> None:
    (project / "datasets" / "x.yaml").write_text("type: Dataset\nname: [\n")
    (found,) = shop.datasets()
    assert found.name is None
    assert found.problems[0].file == "datasets/x.yaml"


def test_a_name_that_is_not_there_is_answered_with_the_nearest(shop: Project, project: Path) -> None:
    write_clicks(project)
    with pytest.raises(NotFound) as error:
        shop.find("iceberg.analytics.daily_click")
    assert error.value.title == "Dataset not found in this project: iceberg.analytics.daily_click"
    assert error.value.detail == f"Did you mean '{CLICKS}'?\nLooked in datasets (1 dataset)."
    assert error.value.exit_status == 3


def test_a_file_that_is_not_there_is_answered_with_the_nearest(shop: Project, project: Path) -> None:
    write_clicks(project)
    with pytest.raises(NotFound) as error:
        shop.find(f"datasets/{CLICKS}.yaml")
    assert error.value.detail == f"Did you mean 'datasets/dataset.{CLICKS}.yaml'?"


def test_a_project_without_a_folder_of_specs_says_how_to_name_it(project: Path) -> None:
    with pytest.raises(NotFound) as error:
        Project(project, project / "specs").find("a")
    assert error.value.detail == "No such folder: specs. Set the project's folder with --path."


@pytest.mark.parametrize("name", ["a/b", "../a", "a..b", ""])
def test_what_can_be_no_name_is_refused(shop: Project, name: str) -> None:
    with pytest.raises(InvalidName):
        shop.find(name)


def test_two_files_with_one_name_are_refused_at_the_second(shop: Project, project: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("twin"))
    (project / "datasets" / "b.yaml").write_text("# copy\n" + spec_of("twin"))
    with pytest.raises(InvalidSpec) as error:
        shop.find("twin")
    assert problems(error) == [
        "datasets/b.yaml:2:7: duplicate dataset name 'twin': already defined in datasets/a.yaml."
    ]
    assert shop.find("datasets/b.yaml").name == "twin"


def test_all_problems_of_a_spec_are_found_at_once(shop: Project, project: Path) -> None:
    (project / "datasets" / "x.yaml").write_text(
        "name: x\ntype: Dataset\nowner: dana\nquery_file: x.sql\ntagz: []\nschedule: {cron: daily}\n"
    )
    with pytest.raises(InvalidSpec) as error:
        shop.find("x").checked()
    assert [text.partition(": ")[0] for text in problems(error)] == [
        "datasets/x.yaml:3:8",
        "datasets/x.yaml:4:13",
        "datasets/x.yaml:5:1",
        "datasets/x.yaml:6:18",
    ]


@pytest.mark.rule("2.21")
def test_a_missing_sql_file_is_answered_with_the_nearest_beside_it(shop: Project, project: Path) -> None:
    write_clicks(project).write_text(CLICKS_YAML.replace("daily_clicks.sql", "daily_click.sql"))
    with pytest.raises(InvalidSpec) as error:
        shop.find(CLICKS).checked()
    (problem,) = problems(error)
    assert problem.startswith(
        f"datasets/dataset.{CLICKS}.yaml:6:13: the SQL file 'daily_click.sql' does not exist"
    )
    assert problem.endswith("Did you mean 'daily_clicks.sql'?")


def test_a_template_that_names_an_unknown_value_is_placed_in_the_sql_file(
    shop: Project, project: Path
) -> None:
    write_clicks(project)
    (project / "datasets" / "daily_clicks.sql").write_text("select 1\nwhere day = '{{ exection_date }}'\n")
    with pytest.raises(InvalidSpec) as error:
        shop.find(CLICKS).checked()
    assert problems(error)[0].startswith("datasets/daily_clicks.sql:2:")
    assert "execution_date" in problems(error)[0]


@pytest.mark.rule("2.21")
def test_a_sql_file_that_is_not_utf_8_is_named_with_the_place(shop: Project, project: Path) -> None:
    write_clicks(project)
    (project / "datasets" / "daily_clicks.sql").write_bytes(b"select 1,\n  '\xb0\xa1'\n")
    with pytest.raises(InvalidSpec) as error:
        shop.find(CLICKS).checked()
    assert problems(error) == [
        "datasets/daily_clicks.sql:2:4: the byte 0xb0 is not UTF-8; save the file as UTF-8."
    ]


@pytest.mark.rule("23.11")
def test_a_sql_file_that_leads_out_of_the_project_is_not_read(shop: Project, project: Path) -> None:
    secret = project.parent / "secret.sql"
    secret.write_text("select 'secret'")
    write_clicks(project)
    (project / "datasets" / "daily_clicks.sql").unlink()
    (project / "datasets" / "daily_clicks.sql").symlink_to(secret)
    found = shop.find(CLICKS)
    assert "secret" not in str(found.sql)
    assert "is outside the project" in str(found.problems[0])


@pytest.mark.rule("23.11")
def test_a_linked_folder_that_leads_out_of_the_project_is_not_read(shop: Project, project: Path) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (outside / "query.sql").write_text("select 'secret'")
    (project / "datasets" / "linked").symlink_to(outside)
    spec = spec_of("x").replace("query_statement: select 1", "query_file: linked/query.sql")
    (project / "datasets" / "x.yaml").write_text(spec)
    found = shop.find("x")
    assert "secret" not in str(found.sql)
    assert "is outside the project" in str(found.problems[0])


@pytest.mark.rule("23.11")
@pytest.mark.parametrize("target", ["../../secret.yaml", "{project}/../secret.yaml", "/dev/stdin"])
def test_a_spec_that_is_a_link_out_of_the_project_is_not_read(
    shop: Project, project: Path, target: str
) -> None:
    secret = project.parent / "secret.yaml"
    secret.write_text(spec_of("x") + "description: secret\n")
    link = project / "datasets" / "x.yaml"
    link.symlink_to(target.format(project=project))
    found = shop.read(link)
    assert found.yaml == b""
    assert "is outside the project" in str(found.problems[0])
    assert list(shop.datasets()) == ([] if target == "/dev/stdin" else [found])
    (project / "datasets" / "inside.yaml").write_text(spec_of("y"))
    link.unlink()
    link.symlink_to("inside.yaml")
    assert shop.read(link).checked().name == "y"


@pytest.mark.rule("23.11")
def test_a_spec_outside_the_project_is_read_where_the_person_names_it(shop: Project, project: Path) -> None:
    (project.parent / "real.yaml").write_text(spec_of("x"))
    (project.parent / "link.yaml").symlink_to("real.yaml")
    assert shop.find("../link.yaml").checked().name == "x"


@pytest.mark.rule("2.20")
@pytest.mark.parametrize(("name", "size"), [("big.yaml", 10_000_000), ("big.sql", 3_000_000)])
def test_a_file_that_is_too_large_is_refused_by_its_size(
    shop: Project, project: Path, name: str, size: int
) -> None:
    folder = project / "datasets"
    (folder / "x.yaml").write_text(spec_of("x").replace("query_statement: select 1", "query_file: big.sql"))
    (folder / name).write_bytes(b"-" * size)
    found = shop.find("datasets/big.yaml" if name == "big.yaml" else "x")
    assert f"the file has {size // 1024:,} KiB" in str(found.problems[0])
    assert found.problems[0].line == 1


def test_an_alias_bomb_is_refused_and_does_not_take_long(shop: Project, project: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (project / "datasets" / "bomb.yaml").write_text("type: Dataset\nname: bomb\nl0: &l0 x\n" + levels)
    (found,) = shop.datasets()
    assert "aliases are not allowed" in str(found.problems[0])
