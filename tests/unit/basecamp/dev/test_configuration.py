import json
from dataclasses import replace
from pathlib import Path

import pytest

from basecamp.dev import startup
from basecamp.dev.configuration import Configuration, Keys
from basecamp.dev.home import Home


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(
        home=Home(tmp_path),
        server_port=8801,
        airflow_port=8081,
        store_url="s3://bucket/prefix",
        connections={"dli_default": '{"conn_type": "duckdb"}'},
        keys=Keys(fernet="F", jwt="J", session="S"),
    )


def test_airflow_listens_on_loopback_alone(configuration: Configuration, tmp_path: Path) -> None:
    environ = configuration.airflow_environ({}, tmp_path)

    assert environ["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environ["AIRFLOW__API__PORT"] == "8081"


def test_airflow_builds_its_dags_from_the_store_and_links_to_basecamp(
    configuration: Configuration, tmp_path: Path
) -> None:
    (bundle,) = json.loads(
        configuration.airflow_environ({}, tmp_path)["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]
    )

    assert bundle["classpath"] == "dli_airflow.bundle.DatasetBundle"
    assert bundle["kwargs"]["store_url"] == "s3://bucket/prefix"
    assert bundle["kwargs"]["base_url"] == "http://127.0.0.1:8801"


def test_settings_of_another_airflow_in_the_shell_are_left_out_and_connections_kept(
    configuration: Configuration, tmp_path: Path
) -> None:
    shell = {
        "AIRFLOW_HOME": "/opt/airflow",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "cat /secret",
        "AIRFLOW_CONN_LAKE": "trino://lake",
        "PYTHONPATH": "/elsewhere",
    }

    environ = configuration.airflow_environ(shell, tmp_path)

    assert environ["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert environ["AIRFLOW_CONN_LAKE"] == "trino://lake"
    assert environ["AIRFLOW_CONN_DLI_DEFAULT"] == '{"conn_type": "duckdb"}'
    assert not {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "PYTHONPATH"} & environ.keys()


def test_another_basecamp_s_settings_in_the_shell_are_left_out(configuration: Configuration) -> None:
    shell = {
        "BASECAMP_AIRFLOW_TOKEN": "x",
        "BASECAMP_AUTH": "tokens",
        "BASECAMP_STORE_URL": "s3://production",
        "SYNC_INTERVAL_SECONDS": "5",
    }

    environ = configuration.basecamp_environ(shell)

    assert not {"BASECAMP_AIRFLOW_TOKEN", "BASECAMP_AUTH"} & environ.keys()
    assert environ["BASECAMP_STORE_URL"] == "s3://bucket/prefix"
    assert environ["SYNC_INTERVAL_SECONDS"] == "5"


@pytest.mark.rule("25.11")
def test_what_channels_need_reaches_basecamp_and_never_airflow(
    configuration: Configuration, tmp_path: Path
) -> None:
    shell = {"BASECAMP_SLACK_TOKEN": "xoxb-secret"}

    assert configuration.basecamp_environ(shell)["BASECAMP_SLACK_TOKEN"] == "xoxb-secret"
    assert "xoxb-secret" not in configuration.airflow_environ(shell, tmp_path).values()


@pytest.mark.rule("28.1")
def test_what_is_printed_says_that_there_is_no_sign_in(configuration: Configuration) -> None:
    assert "There is no sign-in: every program on this machine may do everything" in startup.ready_text(
        configuration
    )


def test_messages_link_to_the_page_unless_another_address_is_named(configuration: Configuration) -> None:
    assert configuration.basecamp_environ({})["BASECAMP_PUBLIC_URL"] == "http://127.0.0.1:8801"
    named = {"BASECAMP_PUBLIC_URL": "https://basecamp.example.com"}
    assert configuration.basecamp_environ(named)["BASECAMP_PUBLIC_URL"] == named["BASECAMP_PUBLIC_URL"]


def test_basecamp_is_told_the_dialects_of_the_connections(configuration: Configuration) -> None:
    connections = {"dli_default": '{"conn_type": "duckdb"}', "web": '{"conn_type": "http"}'}
    connections |= dict.fromkeys(("lake", "no, spec", "can=name"), '{"conn_type": "postgres"}')
    environ = replace(configuration, connections=connections).basecamp_environ({})
    assert environ["BASECAMP_DIALECTS"] == "dli_default=duckdb,lake=postgres"


def test_a_proxy_is_not_asked_for_what_is_on_loopback(configuration: Configuration, tmp_path: Path) -> None:
    shell = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "internal"}

    for environ in (configuration.airflow_environ(shell, tmp_path), configuration.basecamp_environ(shell)):
        assert environ["NO_PROXY"] == environ["no_proxy"] == "internal,127.0.0.1,localhost"
