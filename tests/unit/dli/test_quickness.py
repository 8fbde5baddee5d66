"""What a quick command may cost and load: its processor time beside a bare Python's, and the libraries that stay out."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of

LIBRARIES_OF_HELP = {"click", "dataspec", "dli"}
PARTS_OF_A_CALL = {"email", "http", "ssl"}
"""Slow parts of the standard library that ``http.client`` loads."""

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

MOST_TIMES = {"help": 6, "list": 11}
"""How many times the processor time of ``python -c pass`` a command may take; it takes some 3.5 and 7."""

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


def cpu_of(*arguments: str) -> float:
    """Return the least processor time of a program in five runs: what it needs on a machine that others use."""
    costs = []
    for _ in range(5):
        with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        costs.append(usage.ru_utime + usage.ru_stime)
    return min(costs)


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def libraries(modules: set[str]) -> set[str]:
    return tops(modules) - sys.stdlib_module_names


def slow(modules: set[str]) -> set[str]:
    return {name for name in modules if name in SLOW or name.partition(".")[0] in SLOW}


@pytest.mark.rule("20.17")
@pytest.mark.parametrize("arguments", [["--help"], ["workflow", "--help"], ["dataset", "--help"]])
def test_help_loads_no_library_but_click(arguments: list[str]) -> None:
    modules = loaded_by(*arguments)
    assert libraries(modules) == LIBRARIES_OF_HELP
    assert slow(modules) == set()


@pytest.mark.rule("20.17", "26.69")
def test_a_list_loads_http_client_beside_it(basecamp: Basecamp) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    modules = loaded_by("workflow", "list")
    assert libraries(modules) == LIBRARIES_OF_HELP
    assert tops(slow(modules)) == PARTS_OF_A_CALL


def test_a_run_loads_no_more_than_a_list(basecamp: Basecamp) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    modules = loaded_by("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert libraries(modules) == LIBRARIES_OF_HELP
    assert tops(slow(modules)) == PARTS_OF_A_CALL


def test_a_command_takes_few_times_what_a_bare_python_takes(basecamp: Basecamp) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    bare = cpu_of("-c", "pass")
    assert cpu_of("-m", "dli", "--help") < MOST_TIMES["help"] * bare
    assert cpu_of("-m", "dli", "workflow", "list") < MOST_TIMES["list"] * bare


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
    assert not libraries(modules) & {"jinja2", "sqlglot", "rich", "obstore"}
    assert not {"dataspec.catalog.spec_storage", "dataspec.store"} & modules


def test_the_package_alone_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import dli; print(sorted(set(sys.modules) - before))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(finished.stdout))
    assert libraries(loaded) == {"dli"}
