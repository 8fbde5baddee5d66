"""What a quick command may load: this list is what keeps it quick."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of

LIBRARIES_OF_HELP = {"click", "dataspec", "dli"}
LIBRARIES_OF_A_CALL = {*LIBRARIES_OF_HELP, "h11"}

SLOW = {
    "asyncio",
    "bz2",
    "concurrent",
    "ctypes",
    "decimal",
    "email",
    "html",
    "http",
    "importlib.metadata",
    "logging",
    "lzma",
    "multiprocessing",
    "pickle",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
    "unittest",
    "urllib.request",
    "xml",
}
"""Parts of the standard library that cost more than a command can spare."""

OWN_OF_HELP = {
    "dataspec",
    "dataspec.errors",
    "dli",
    "dli.groups",
    "dli.main",
    "dli.options",
    "dli.session",
}
OWN_OF_A_CALL = {
    *OWN_OF_HELP,
    "dataspec.spec.names",
    "dataspec.models",
    "dli.client.addresses",
    "dli.client.client",
    "dli.client.connection",
    "dli.client.decoding",
    "dli.project.paths",
    "dli.client.proxies",
    "dli.config.settings",
    "dli.output.tables",
    "dli.output.times",
    "dli.client.call",
    "dli.client.calls",
    "dli.client.polling",
    "dli.client.transport",
    "dli.client.protocol",
}

PROGRAM = """
import json, sys
before = set(sys.modules)
from dli.main import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(set(sys.modules) - before)]), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    status, modules = json.loads(finished.stderr.splitlines()[-1])
    assert status == 0
    return set(modules)


def own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in {"dataspec", "dli"}}


def libraries(modules: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules}
    return {name for name in tops if name not in sys.stdlib_module_names}


def slow(modules: set[str]) -> set[str]:
    return {name for name in modules if name in SLOW or name.partition(".")[0] in SLOW}


@pytest.mark.parametrize("arguments", [["--help"], ["workflow", "--help"], ["dataset", "--help"]])
def test_help_loads_click_and_what_knows_the_commands(arguments: list[str]) -> None:
    modules = loaded_by(*arguments)
    groups = {f"dli.commands{end}" for end in ("", ".workflow", ".dataset")}
    assert libraries(modules) == LIBRARIES_OF_HELP
    assert own(modules) - groups == OWN_OF_HELP
    assert slow(modules) == set()


def test_a_list_loads_h11_and_the_client_beside_it(basecamp: Basecamp) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    modules = loaded_by("workflow", "list")
    commands = {"dli.commands", "dli.commands.workflow", "dli.commands.workflow.list"}
    assert libraries(modules) == LIBRARIES_OF_A_CALL
    assert own(modules) == OWN_OF_A_CALL | commands
    assert slow(modules) == set()


def test_a_run_loads_no_more_than_a_list(basecamp: Basecamp) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    modules = loaded_by("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    commands = {"dli.commands", "dli.commands.workflow", "dli.commands.workflow.run", "dli.run_kinds"}
    assert libraries(modules) == LIBRARIES_OF_A_CALL
    assert own(modules) <= OWN_OF_A_CALL | commands
    assert slow(modules) == set()


def test_yaml_is_loaded_where_there_is_a_settings_file_and_not_pydantic(
    basecamp: Basecamp, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dli.yaml").write_text(f"server: {{url: {basecamp.url}}}\n")
    monkeypatch.delenv("DLI_SERVER_URL")
    modules = loaded_by("workflow", "list")
    assert "yaml" in libraries(modules)
    assert not libraries(modules) & {"pydantic", "jinja2", "sqlglot", "rich"}


def test_a_run_on_this_machine_loads_no_template_engine_no_parser_of_sql_and_no_store(project: Path) -> None:
    spec = spec_of("shop.numbers")
    (project / "datasets" / "numbers.yaml").write_text(spec)
    modules = loaded_by("dataset", "run", "shop.numbers")
    assert libraries(modules) >= {"pydantic", "duckdb", "yaml"}
    assert not libraries(modules) & {"jinja2", "sqlglot", "rich", "h11", "obstore"}
    assert not {"dataspec.catalog.spec_storage", "dataspec.store"} & modules


def test_the_package_alone_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import dli; print(sorted(set(sys.modules) - before))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(finished.stdout))
    assert (own(loaded), libraries(loaded)) == ({"dli"}, {"dli"})
