from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.dli.conftest import Dli


@pytest.mark.rule("21.10", "22.28")
def test_config_show_names_the_origin_of_each_setting(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dli.yaml").write_text("name: shop\nconnections: {wh: {url: 'pg://me:hunter2@h/d'}}\n")
    monkeypatch.setenv("DLI_SERVER_URL", "http://variable")
    result = dli("config", "show")
    assert (result.status, result.err) == (0, "")
    assert [line.split() for line in result.out.splitlines()] == [
        ["SETTING", "VALUE", "ORIGIN"],
        ["env", "-", "default"],
        ["server.url", "http://variable", "DLI_SERVER_URL"],
        ["server.timeout_seconds", "30", "default"],
        ["store.url", "-", "default"],
        ["user", "dana", "default"],
        ["name", "shop", "dli.yaml:1:7"],
        ["datasets_dir", "datasets", "default"],
        ["connections.wh.url", "pg://me:***@h/d", "dli.yaml:2:25"],
    ]


@pytest.mark.rule("21.10")
def test_config_show_as_json_masks_secrets_too(dli: Dli, project: Path) -> None:
    (project / "dli.yaml").write_text("connections: {wh: {options: {password: hunter2}}}\n")
    result = dli("config", "show", "-f", "json")
    assert "hunter2" not in result.out
    assert json.loads(result.out)[-1] == {
        "setting": "connections.wh.options.password",
        "value": "***",
        "origin": "dli.yaml:1:40",
    }


def test_config_show_names_an_option_as_the_origin(dli: Dli) -> None:
    out = dli("config", "show", "--server-url", "http://option", "-f", "json").out
    assert {"setting": "server.url", "value": "http://option", "origin": "--server-url"} in json.loads(out)


@pytest.mark.rule("21.10")
def test_a_variable_with_a_typing_error_is_told(dli: Dli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLI_SERVER_ULR", "http://h")
    assert dli("config", "show").err == (
        "Warning: The variable DLI_SERVER_ULR is set, but no setting reads it. Did you mean 'DLI_SERVER_URL'?\n"
    )


def test_a_mistake_in_the_settings_is_an_error_of_every_command_that_reads_them(
    dli: Dli, project: Path
) -> None:
    (project / "dli.yaml").write_text("servr: {}\n")
    for arguments in (["config", "show"], ["workflow", "list"], ["dataset", "list"]):
        result = dli(*arguments)
        assert (result.status, result.out) == (2, "")
        assert "dli.yaml:1:1: unknown key 'servr'. Did you mean 'server'?" in result.err
