from pathlib import Path

import pytest
from click.testing import CliRunner

from basecamp.dev.command import dev
from basecamp.dev.home import Home
from basecamp.dev.startup import Request


def request_for(store: str | None) -> Request:
    return Request(
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
    assert request_for(store).store_url == url


def test_the_help_says_what_it_does_and_the_defaults() -> None:
    help_text = CliRunner().invoke(dev, ["--help"]).output

    assert "with an Airflow of its own" in help_text
    for default in (".basecamp", "8800", "8080", "HOME/store", "HOME/airflow-env"):
        assert default in help_text


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_wrong_usage(port: str) -> None:
    assert CliRunner().invoke(dev, ["--port", port]).exit_code == 2
