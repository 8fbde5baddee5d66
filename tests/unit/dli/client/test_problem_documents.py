from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from basecamp.api.problems import problem_response
from dataspec import errors
from dataspec.errors import (
    AirflowUnreachable,
    Conflict,
    DatasetNotFound,
    DliError,
    ExistsInCode,
    InternalError,
    InvalidSpec,
    InvalidTemplate,
    InvalidUsage,
    ManagedByCode,
    MissingParameter,
    NotFound,
    Overridden,
    Paused,
    Refused,
    RunNotFound,
    Unauthorized,
    Unavailable,
    UnknownParameter,
)
from dataspec.problems import Problem
from dli.client.responses import error_from

PROBLEM = Problem("unknown key 'tagz'.", "datasets/x.yaml", 5, 1, "Did you mean 'tags'?")


def kinds(root: type[DliError] = DliError) -> Iterator[type[DliError]]:
    """Yield the kinds in the one table; the server has finer ones of its own, which share their codes."""
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from kinds(kind)


def answered(error: DliError) -> DliError:
    """Send an error through the API."""
    response = problem_response(error)
    found = error_from(response.status_code, bytes(response.body))
    assert found is not None
    return found


@pytest.mark.rule("20.18")
@pytest.mark.parametrize(
    "error",
    [
        DatasetNotFound("a.b", hint="Did you mean 'a.c'?"),
        RunNotFound("x_20240115_093045"),
        ManagedByCode(),
        Overridden(),
        ExistsInCode(),
        Paused("a.b"),
        MissingParameter("execution_date"),
        UnknownParameter("limt", {"execution_date": True, "limit": False}, hint="Did you mean 'limit'?"),
        InvalidSpec([PROBLEM, Problem("a second one.", "datasets/x.yaml")]),
        InvalidTemplate(PROBLEM),
        Conflict("Someone else was first.", detail="Read it again."),
        AirflowUnreachable("Airflow does not answer.", detail="http://airflow: connection refused"),
    ],
    ids=lambda error: error.code,
)
def test_an_error_that_the_api_answers_arrives_with_its_kind_and_every_word(error: DliError) -> None:
    found = answered(error)
    assert type(found) is type(error)
    assert (found.title, found.text, found.detail) == (error.title, error.text, error.detail)
    assert (found.exit_status, found.extras()) == (error.exit_status, error.extras())
    assert str(found) == str(error)


@pytest.mark.parametrize("kind", [*kinds()], ids=lambda kind: kind.__name__)
def test_every_kind_of_error_is_known_by_its_code(kind: type[DliError]) -> None:
    document = {"title": "It is so.", "status": 400, "code": kind.code}
    assert type(error_from(400, json.dumps(document).encode())) is kind


def test_no_two_kinds_share_a_code() -> None:
    codes = [kind.code for kind in kinds()]
    assert sorted(set(codes)) == sorted(codes)
    assert errors.DliError.code not in codes


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidUsage),
        (401, Unauthorized),
        (404, NotFound),
        (409, Refused),
        (412, Conflict),
        (422, InvalidUsage),
        (500, InternalError),
        (503, Unavailable),
    ],
)
def test_a_code_from_a_newer_server_becomes_what_its_status_means(status: int, kind: type[DliError]) -> None:
    found = error_from(status, b'{"title": "New.", "code": "brand_new", "detail": "More."}')
    assert type(found) is kind
    assert (found.title, found.text, found.detail) == ("New.", "New.", "More.")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"title": 3}', b"\xff", b'{"detail": "x"}'])
def test_what_is_no_problem_document_is_told_apart(body: bytes) -> None:
    assert error_from(502, body) is None


def test_problems_that_are_not_well_formed_are_passed_over() -> None:
    document = {"title": "x", "code": "invalid_spec", "problems": [1, {"file": "x"}, PROBLEM.to_json()]}
    found = error_from(422, json.dumps(document).encode())
    assert isinstance(found, InvalidSpec)
    assert found.problems == (PROBLEM,)


@pytest.mark.rule("27.10")
def test_an_error_of_the_server_says_under_which_request_its_log_has_it() -> None:
    document = {"title": "A mistake in Basecamp.", "status": 500, "request_id": "abc-123"}
    found = error_from(500, json.dumps(document).encode())
    assert found is not None
    assert found.detail == "The server's log has it under the request abc-123."
