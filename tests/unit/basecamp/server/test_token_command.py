"""The commands ``basecamp token``: with the store's credentials alone, and errors in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs ``basecamp token`` with nothing but a store in its environment."""

    def run(*arguments: str, store: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"BASECAMP_STORE_URL": str(tmp_path) if store is None else store, "PATH": ""}
        return subprocess.run(
            [sys.executable, "-m", "basecamp", "token", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.rule("26.31")
def test_first_admin_is_made_with_the_store_alone_and_the_token_is_alone_on_stdout(run: Run) -> None:
    made = run("create", "first", "--role", "admin")
    assert made.returncode == 0
    assert re.fullmatch(r"dli_[A-Za-z0-9_-]{43}\n", made.stdout)
    assert re.fullmatch(
        r"The token 'first' \([0-9a-f]{8}\) is admin, until \d{4}-\d\d-\d\d \d\d:\d\d UTC. .*\n", made.stderr
    )
    assert made.stdout.strip() not in made.stderr


@pytest.mark.rule("26.31")
def test_list_shows_each_token_and_no_secret(run: Run, tmp_path: Path) -> None:
    made = run("create", "ci", "--role", "operator", "--team", "ops", "--team", "@data", "--days", "7")
    listed = run("list", "--format", "json")
    [token] = json.loads(listed.stdout)
    assert token["name"] == "ci"
    assert (token["role"], token["teams"]) == ("operator", ["@data", "@ops"])
    assert token["grants"] == [{"role": "operator", "teams": ["@data", "@ops"]}]
    assert token["last_used_at"] is None
    assert set(token) == {
        "name",
        "id",
        "role",
        "teams",
        "grants",
        "created_at",
        "created_by",
        "expires_at",
        "last_used_at",
    }
    table = run("list").stdout
    assert all(text in table for text in ("ci", token["id"], "operator of @data, @ops", "never"))
    secret = made.stdout.strip()
    assert secret not in table + listed.stdout
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_text()]


@pytest.mark.rule("26.31")
def test_revoked_token_is_gone_from_the_list(run: Run) -> None:
    run("create", "ci", "--role", "viewer")
    revoked = run("revoke", "ci")
    assert re.fullmatch(r"Revoked the token 'ci' \([0-9a-f]{8}\)\.\n", revoked.stdout)
    assert json.loads(run("list", "--format", "json").stdout) == []
    assert "There are no tokens." in run("list").stdout


@pytest.mark.rule("26.31")
@pytest.mark.parametrize(
    ("arguments", "store", "status", "line"),
    [
        (
            ("create", "ci", "--role", "edtor"),
            None,
            2,
            "'edtor' is not a role: write one of viewer, operator, editor, admin. Did you mean 'editor'?",
        ),
        (("create", "ci", "--role", "viewer", "--team", "a b"), None, 2, "'a b' is not a team"),
        (("create", "a/b", "--role", "viewer"), None, 2, "'a/b' can't name a token"),
        (("revoke", "nobody"), None, 3, "No token has the name or id 'nobody'."),
        (("list",), "", 2, "BASECAMP_STORE_URL is not set."),
        (("list",), "ftp://x", 2, "ftp://x"),
        (("create", "ci", "--role", "viewer"), "/proc/nowhere", 5, "/proc/nowhere"),
    ],
)
def test_error_is_one_line_with_the_exit_status_of_its_kind(
    run: Run, arguments: tuple[str, ...], store: str | None, status: int, line: str
) -> None:
    failed = run(*arguments, store=store)
    assert (failed.returncode, failed.stdout) == (status, "")
    assert failed.stderr.startswith("Error: ")
    assert failed.stderr.count("\n") == 1
    assert line in failed.stderr


def test_name_of_a_living_token_is_refused(run: Run) -> None:
    run("create", "ci", "--role", "viewer")
    again = run("create", "ci", "--role", "admin")
    assert (again.returncode, again.stdout) == (4, "")
    assert "A token is named 'ci' already" in again.stderr
    assert again.stderr.count("\n") == 1


@pytest.mark.rule("26.31")
def test_making_and_revoking_a_token_is_in_the_audit_log(run: Run, tmp_path: Path) -> None:
    made = run("create", "ci", "--role", "operator", "--team", "ops", "--days", "7")
    run("create", "ci", "--role", "admin")
    run("revoke", "ci")
    run("list")
    entries = sorted((tmp_path / "basecamp" / "audit").rglob("*.json"))
    stored = [json.loads(file.read_text()) for file in entries]
    assert [(one["action"], one["subject"], one["method"]) for one in stored if "action" in one] == [
        ("create token", "ci (operator of @ops, 7 days)", "machine"),
        ("create token", "ci (admin, 90 days)", "machine"),
        ("revoke token", "ci", "machine"),
    ]
    assert [one["status"] for one in stored if "status" in one] == [200, 409, 200]
    assert made.stdout.strip() not in "".join(file.read_text() for file in entries)
