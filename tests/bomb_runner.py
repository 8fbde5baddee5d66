"""Runs the product on bombs, each in a process of its own, and tells what each took.

A program by itself, so that what a process weighs is the product's own: ``python bomb_runner.py templates``
writes a line of JSON for each template, ``{"name", "seconds", "cpu", "mib", "ending", "died"}``, ``cpu`` being that of the slowest part; ``sql`` and ``yaml`` do alike.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import bombs
from dataspec.errors import DliError, InvalidSpec
from dataspec.problems import Problem
from dataspec.project.spec_checks import check_invalid, check_valid
from dataspec.spec.detection import is_dataset_document
from dataspec.spec.parse import parse_document
from dataspec.spec.run_values import resolve_run
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.preview import preview_sql
from dataspec.sql.rendering import render_statements
from dataspec.sql.template.render import check_template, render
from dataspec.sql.transpile import transpile
from dataspec.sql.validation import check_spec, sql_file_problems, sql_part

GIVES_UP = 60
"""Seconds of the processor after which a bomb is known to go on for good."""
PARAMETERS = "parameters: [{name: a, type: string, default: a}]\n"


SLOWEST = [0.0]
"""Seconds of the processor that each part took."""


def timed(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call a function, and keep how long it took."""
    began = time.process_time()
    try:
        return function(*args, **named)
    finally:
        SLOWEST.append(time.process_time() - began)


def check(body: bytes, files: dict[str, str]) -> tuple[Problem, ...]:
    """Return what is wrong with a spec, as ``dli dataset validate`` tells it."""
    document = read_document(body, "bomb.yaml")
    try:
        spec = parse_document(document)
    except InvalidSpec as error:
        return check_invalid(document, error.problems, sql_part(document), files).problems
    known = tuple(sql_file_problems(spec, files, document))
    return check_valid(spec, files, document, known).problems


def go_off_as_template(sql: str) -> str:
    """Check a template, and render it; what it renders is SQL of a size that the other bombs have."""
    problems, _ = timed(check_template, sql, ["a"], file="bomb.sql")
    found = [str(problem) for problem in problems[:1]]
    try:
        timed(render, sql, {"a": "a"}, dialect="duckdb", file="bomb.sql")
    except DliError as error:
        found.append(str(error.detail))
    return " | ".join(found) or "rendered"


def go_off_as_sql(sql: str) -> str:
    """Check a spec with such SQL; where no error is found, dry run it and write it in another dialect."""
    yaml = (bombs.spec_of(sql) + PARAMETERS).encode()
    files = {"bomb.sql": sql}
    problems = timed(check, yaml, files)
    if errors := [problem for problem in problems if problem.severity == "error"]:
        return str(errors[0])
    spec = timed(check_spec, yaml, files, file="bomb.yaml")
    values = resolve_run(spec, {}).template
    try:
        timed(preview_sql, spec, files, values, yaml=yaml, file="bomb.yaml")
        statements = timed(
            render_statements, spec, files, values, dialect="duckdb", file="bomb.yaml", yaml=yaml
        )
        timed(transpile, statements, read="duckdb", write="spark", yaml=yaml, file="bomb.yaml")
    except DliError as error:
        return str(error.detail)
    return "translated"


def go_off_as_yaml(text: str) -> str:
    """Check a spec's YAML."""
    body = text.encode()
    told = timed(is_dataset_document, body)
    try:
        problems = timed(check, body, {})
    except InvalidSpec as error:
        problems = error.problems
    assert sum(len(str(problem)) for problem in problems) < 100_000, "what is told can be read"
    return f"{told}, {len(problems)} problems: {' '.join(map(str, problems[:1]))}"


KINDS: dict[str, tuple[dict[str, str], Callable[[str], str]]] = {
    "templates": (bombs.TEMPLATES, go_off_as_template),
    "sql": (bombs.SQL, go_off_as_sql),
    "yaml": (bombs.YAML, go_off_as_yaml),
}


def measured(go_off: Callable[[str], str], bomb: str) -> dict[str, object]:
    """Return what a bomb took in a process of its own, and how it ended there."""
    ends, begins = os.pipe()
    started = time.monotonic()
    if not (child := os.fork()):
        _in_child(go_off, bomb, begins)
    os.close(begins)
    with os.fdopen(ends, "rb") as told:
        ending = told.read(300).decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    slowest, _, ending = ending.partition(" ")
    if status:
        ending = f"exit status {status}: {ending}"
    return {"seconds": time.monotonic() - started, "mib": usage.ru_maxrss / 1024, "ending": ending,
            "cpu": float(slowest or GIVES_UP), "died": bool(status)}  # fmt: skip


def _in_child(go_off: Callable[[str], str], bomb: str, told: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (GIVES_UP, GIVES_UP))
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    status = 1
    try:
        ending = go_off(bomb)
        os.write(told, f"{max(SLOWEST)} {ending[:300]}".encode())
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        os.write(told, f"{max(SLOWEST)} {type(error).__name__}: {error}"[:300].encode())
    finally:
        os._exit(status)


def main(kind: str, *names: str) -> None:
    """Write what each bomb of a kind took."""
    found, go_off = KINDS[kind]
    go_off("select 1")  # whatever loads only now is loaded
    for name in names or found:
        sys.stdout.write(f"{json.dumps({'name': name, **measured(go_off, found[name])})}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
