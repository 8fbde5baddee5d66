from __future__ import annotations

from pathlib import Path

import pytest

from dataspec.errors import InvalidSettings, InvalidUsage
from dli.config.settings import Settings


def settings(
    root: Path, *, env: str | None = None, server_url: str | None = None, **environ: str
) -> Settings:
    return Settings(
        root, {"env": env, "server.url": server_url}, {"HOME": str(root.parent / "home"), **environ}
    )


def user_file(root: Path, text: str) -> Path:
    path = root.parent / "home" / ".config" / "dli" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.rule("21.1")
def test_a_setting_that_nothing_gives_has_its_default(project: Path) -> None:
    found = settings(project)
    assert (found.server_url, found.timeout_seconds, found.datasets_dir) == (
        "http://127.0.0.1:8800",
        30,
        project / "datasets",
    )
    assert {setting.origin for setting in found.all()} == {"default"}


@pytest.mark.rule("21.1")
def test_each_place_stands_before_the_next(project: Path) -> None:
    path = user_file(project, "server: {url: http://user}\n")
    assert settings(project).get("server.url")[1:] == ("http://user", f"{path}:1:15")
    (project / "dli.yaml").write_text("name: shop\nserver:\n  url: http://project\n")
    assert settings(project).get("server.url")[1:] == ("http://project", "dli.yaml:3:8")
    (project / ".dli.local.yaml").write_text("server: {url: http://mine}\n")
    assert settings(project).get("server.url")[1:] == ("http://mine", ".dli.local.yaml:1:15")
    by_variable = settings(project, DLI_SERVER_URL="http://variable")
    assert by_variable.get("server.url")[1:] == ("http://variable", "DLI_SERVER_URL")
    by_option = settings(project, server_url="http://option", DLI_SERVER_URL="http://variable")
    assert by_option.get("server.url")[1:] == ("http://option", "--server-url")


@pytest.mark.rule("21.1")
def test_the_users_file_is_where_xdg_says(project: Path, tmp_path: Path) -> None:
    (tmp_path / "xdg" / "dli").mkdir(parents=True)
    (tmp_path / "xdg" / "dli" / "config.yaml").write_text("user: 다나\n")
    found = Settings(project, {}, {"XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert found.user == "다나"


@pytest.mark.rule("21.5")
def test_variables_are_filled_in_with_their_defaults(project: Path) -> None:
    (project / "dli.yaml").write_text("datasets_dir: ${DIR:-specs}\n")
    user_file(project, "user: ${WHO}\nserver:\n  url: http://${HOST:-h}:${PORT:-}80/$$x\n")
    found = settings(project, WHO="dana", HOST="basecamp")
    assert (found.user, found.datasets_dir.name, found.server_url) == (
        "dana",
        "specs",
        "http://basecamp:80/$x",
    )


@pytest.mark.rule("21.5")
def test_a_variable_that_is_not_set_is_named_with_its_place(project: Path) -> None:
    (project / "dli.yaml").write_text("server:\n  url: ${DLI_SERVER_URL}\ndatasets_dir: ${SPECS}\n")
    with pytest.raises(InvalidSettings, match=r"dli\.yaml:2:8: the variable DLI_SERVER_URL is not set\."):
        _ = settings(project).server_url
    with pytest.raises(InvalidSettings, match=r"dli\.yaml:3:15: the variable SPECS is not set\."):
        _ = settings(project).datasets_dir


@pytest.mark.rule("21.5")
def test_a_variable_that_no_used_setting_needs_may_be_missing(project: Path) -> None:
    (project / "dli.yaml").write_text("connections: {prod: {url: 'postgres://${SECRET}@db'}}\n")
    found = settings(project)
    assert found.server_url == "http://127.0.0.1:8800"
    shown = {setting.key: setting for setting in found.all()}
    assert shown["connections.prod.url"].value is None
    assert "SECRET is not set" in shown["connections.prod.url"].origin


@pytest.mark.rule("21.3")
def test_an_environment_stands_before_the_plain_values_of_every_file(project: Path) -> None:
    (project / "dli.yaml").write_text(
        "server: {url: http://dev}\nenvironments:\n  prod:\n    server: {url: https://prod}\n"
    )
    (project / ".dli.local.yaml").write_text("server: {url: http://mine}\n")
    assert settings(project).server_url == "http://mine"
    assert settings(project, env="prod").server_url == "https://prod"
    assert settings(project, DLI_ENV="prod").server_url == "https://prod"


@pytest.mark.rule("21.4")
def test_a_variable_that_stands_before_the_chosen_environment_is_told(project: Path) -> None:
    (project / "dli.yaml").write_text("environments: {prod: {server: {url: https://prod}}, qa: {}}\n")
    found = settings(project, env="prod", DLI_SERVER_URL="http://variable").overridden_by_variable()
    assert found is not None
    assert found.origin == "DLI_SERVER_URL"
    assert settings(project, env="qa", DLI_SERVER_URL="http://variable").overridden_by_variable() is None
    assert settings(project, env="prod").overridden_by_variable() is None


@pytest.mark.rule("21.3")
def test_an_environment_that_is_not_defined_is_answered_with_the_nearest(project: Path) -> None:
    (project / "dli.yaml").write_text("environments: {prod: {}, qa: {}}\n")
    with pytest.raises(InvalidUsage) as error:
        _ = settings(project, env="prdo").server_url
    assert (error.value.title, error.value.detail) == (
        "No environment 'prdo' in the settings files.",
        "Did you mean 'prod'?",
    )
    with pytest.raises(InvalidUsage) as error:
        _ = settings(project, env="xyz", DLI_SERVER_URL="http://h").server_url
    assert error.value.detail == "Defined: prod, qa."


@pytest.mark.rule("21.2")
def test_every_mistake_in_a_file_is_named_with_line_column_and_the_nearest_key(project: Path) -> None:
    (project / "dli.yaml").write_text(
        "nmae: shop\nserver:\n  ulr: http://h\n  timeout_seconds: yes\nconnections:\n  a:\n    url: 3\n"
        "environments:\n  prod:\n    name: x\nname: [1]\n"
    )
    with pytest.raises(InvalidSettings) as error:
        _ = settings(project).server_url
    assert error.value.title == "Invalid settings in dli.yaml."
    assert (error.value.detail or "").splitlines() == [
        "dli.yaml:1:1: unknown key 'nmae'. Did you mean 'name'?",
        "dli.yaml:3:3: unknown key 'ulr'. Did you mean 'url'?",
        "dli.yaml:7:10: 'connections.a.url': expected text, got 3.",
        "dli.yaml:10:5: unknown key 'name'. Known keys here: datasets_dir, user, server, store, connections, schema.",
        "dli.yaml:11:7: 'name': expected text, got [1].",
    ]


@pytest.mark.rule("26.5")
@pytest.mark.parametrize(
    "text",
    [
        "connections: {a: 'postgresql://me:hunter2@db/x'}",
        "connections: {a: ['postgresql://me:hunter2@db/x']}",
        "connections: {a: {url: ['postgresql://me:hunter2@db/x']}}",
        "connections: {a: {url: {password: hunter2}}}",
        "server: 'http://me:hunter2@h'",
        "server: 'token=hunter2'",
    ],
)
def test_a_mistake_in_a_file_is_named_without_its_secrets(project: Path, text: str) -> None:
    (project / "dli.yaml").write_text(f"{text}\n")
    with pytest.raises(InvalidSettings) as error:
        _ = settings(project).server_url
    assert "got" in (error.value.detail or "")
    assert "hunter2" not in f"{error.value.title} {error.value.detail}"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "name:\n"])
def test_a_file_that_sets_nothing_is_no_mistake(project: Path, text: str) -> None:
    (project / "dli.yaml").write_text(text)
    assert settings(project).server_url == "http://127.0.0.1:8800"


@pytest.mark.rule("21.2")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("- a\n", "dli.yaml:1:1"),
        ("name: a\nname: b\n", "dli.yaml:2:1"),
        ("name: &a x\nuser: *a\n", "dli.yaml:2:7"),
        ("server: [\n", "dli.yaml:2:1"),
        ("server: 3\n", "dli.yaml:1:9"),
    ],
)
def test_a_file_of_another_shape_is_refused_at_its_place(project: Path, text: str, place: str) -> None:
    (project / "dli.yaml").write_text(text)
    with pytest.raises(InvalidSettings) as error:
        _ = settings(project).server_url
    assert (error.value.detail or "").startswith(place)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1e9", "nan"])
def test_a_timeout_must_be_a_number_of_seconds(project: Path, value: str) -> None:
    with pytest.raises(InvalidSettings, match="DLI_SERVER_TIMEOUT_SECONDS"):
        _ = settings(project, DLI_SERVER_TIMEOUT_SECONDS=value).timeout_seconds


def test_a_connection_is_put_together_from_all_places(project: Path) -> None:
    (project / "dli.yaml").write_text(
        "connections: {wh: {url: 'duckdb:///a', options: {threads: 1, x: 2}}}\n"
        "environments: {prod: {connections: {wh: {url: 'duckdb:///b'}}}}\n"
    )
    (project / ".dli.local.yaml").write_text("connections: {wh: {options: {threads: 8}}}\n")
    found = {s.key: s.value for s in settings(project, env="prod").all() if s.key.startswith("connections")}
    assert found == {
        "connections.wh.url": "duckdb:///b",
        "connections.wh.options.threads": 8,
        "connections.wh.options.x": 2,
    }


def test_files_are_not_read_where_something_stronger_decides(project: Path) -> None:
    (project / "dli.yaml").write_text("not: [valid\n")
    assert settings(project, DLI_SERVER_URL="http://h").server_url == "http://h"


def test_a_variable_that_nothing_reads_is_found(project: Path) -> None:
    assert settings(project, DLI_SERVER_ULR="x", DLI_ENV="", OTHER="y").unread_variables() == [
        "DLI_SERVER_ULR"
    ]
