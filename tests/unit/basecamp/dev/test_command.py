from pathlib import Path

import pytest
from click.testing import CliRunner

from basecamp.dev.command import dev
from basecamp.dev.home import Home
from basecamp.dev.release_lines import LINES
from basecamp.dev.startup import Options


def options_for(store: str | None) -> Options:
    return Options(
        home=Home(Path("/home")),
        project=Path("/project"),
        port=0,
        airflow_port=0,
        store=store,
        airflow_env=None,
    )


@pytest.mark.parametrize(
    ("store", "url"),
    [
        (None, "/home/store"),
        ("/var/store", "/var/store"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("file:///var/store", "file:///var/store"),
        ("here", str(Path.cwd() / "here")),
    ],
)
def test_the_store_is_an_address_or_a_folder_made_absolute(store: str | None, url: str) -> None:
    assert options_for(store).store_url == url


@pytest.mark.rule("28.2")
def test_the_help_says_what_it_does_and_the_defaults() -> None:
    help_text = CliRunner().invoke(dev, ["--help"]).output

    assert "with its own Airflow" in help_text
    for default in (".basecamp", "8800", "8080", "HOME/store", "HOME/airflow-env"):
        assert default in help_text


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_wrong_usage(port: str) -> None:
    assert CliRunner().invoke(dev, ["--port", port]).exit_code == 2


@pytest.mark.parametrize("url", ["mysql://localhost/airflow", "postgresql://localhost", "/var/airflow.db"])
def test_a_database_of_another_kind_is_wrong_usage(url: str) -> None:
    done = CliRunner().invoke(dev, ["--airflow-database", url])

    assert done.exit_code == 2
    assert "postgresql://user:password@127.0.0.1:5432/airflow" in done.output


@pytest.mark.rule("28.2")
def test_airflow_2_without_a_database_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    done = CliRunner().invoke(dev, ["--home", str(tmp_path / "home"), "--airflow", "2.11"])

    assert done.exit_code == 2
    assert "Airflow 2.11 needs a PostgreSQL database" in done.output
    assert "--airflow-database postgresql://" in done.output
    assert not (tmp_path / "home").exists()


def test_each_line_of_airflow_has_its_own_folders_in_a_home() -> None:
    three, two = (Home(Path("/home"), line) for line in LINES.values())

    assert three.store == two.store
    assert not {three.airflow, three.airflow_env} & {two.airflow, two.airflow_env}
