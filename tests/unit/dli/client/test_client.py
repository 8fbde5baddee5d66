from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from time import monotonic

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import dli
from dataspec.errors import (
    Conflict,
    InvalidName,
    MissingParameter,
    NotPaused,
    Refused,
    RunNotFound,
    ServerUnreachable,
    Unavailable,
)
from dataspec.models import RunStatus, SourceType, WorkflowStatus
from dli import AsyncClient, Client
from dli.client import calls, logins
from dli.client.polling import pause_after
from unit.dli.basecamp import Basecamp
from unit.dli.both_clients import blocking
from unit.dli.scripted_server import answer, raw, scripted, silence
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of

ClientMaker = Callable[..., Client]


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(params=["Client", "AsyncClient"])
def make_client(request: pytest.FixtureRequest) -> ClientMaker:
    """Make a client of either kind: every test here holds for both."""
    if request.param == "Client":
        return Client
    return partial(blocking, request.getfixturevalue("portal"))


@pytest.fixture
def client(basecamp: Basecamp, make_client: ClientMaker) -> Client:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    return make_client(basecamp.url, user="다나 dana@example.com")


def test_the_package_offers_the_two_clients_and_nothing_else() -> None:
    assert dli.__all__ == ["AsyncClient", "Client"]
    assert "Client" in dir(dli)
    with pytest.raises(AttributeError, match="has no attribute 'Cleint'"):
        _ = dli.Cleint


@pytest.mark.rule("20.18")
def test_both_clients_have_every_call_with_its_arguments_and_description() -> None:
    described = {
        name: call
        for module in (calls, logins)
        for name, call in inspect.getmembers(module, inspect.isfunction)
        if call.__module__ == module.__name__ and not name.startswith("_")
    }
    assert described.keys() == {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    for name, call in described.items():
        for kind in (Client, AsyncClient):
            method = getattr(kind, name)
            assert method.__doc__ == call.__doc__
            assert list(inspect.signature(method).parameters) == list(inspect.signature(call).parameters)
            iterates = name.startswith("follow_")
            assert inspect.iscoroutinefunction(method) is (kind is AsyncClient and not iterates)
            assert inspect.isasyncgenfunction(method) is (kind is AsyncClient and iterates)


def test_a_run_from_start_to_end(basecamp: Basecamp, client: Client) -> None:
    with client:
        run = client.start_run(CLICKS, {"execution_date": "2024-01-15"})
        assert (run.status, run.source_type, run.parameters["limit"]) == (RunStatus.PENDING, None, 100)
        basecamp.complete(run.run_id)
        *_, last = client.follow_run(run.run_id)
        assert (last.status, last.source_type) == (RunStatus.COMPLETED, SourceType.CODE)
        assert last.started_at == datetime(2024, 1, 15, 9, 30, 45, last.started_at.microsecond, tzinfo=UTC)  # type: ignore[union-attr]
        assert [found.run_id for found in client.list_runs(dataset=CLICKS)] == [run.run_id]
        assert client.get_log(run.run_id).attempts == 1
        assert client.wait(run.run_id) == last


def test_calls_with_one_key_start_one_run(client: Client) -> None:
    with client:
        first, second = (
            client.start_run(CLICKS, {"execution_date": "2024-01-15"}, idempotency_key="k") for _ in range(2)
        )
        other = client.start_run(CLICKS, {"execution_date": "2024-01-15"})
    assert first.run_id == second.run_id != other.run_id


@pytest.mark.rule("19.15")
def test_the_user_arrives_in_any_script(basecamp: Basecamp, client: Client) -> None:
    with client:
        run = client.start_run(CLICKS, {"execution_date": "2024-01-15"})
        stopped = client.stop_run(run.run_id, reason="잘못된 날짜")
    assert stopped.status is RunStatus.KILLED
    assert stopped.note is not None
    assert "Stopped by 다나 dana@example.com" in stopped.note
    assert "잘못된 날짜" in stopped.note


def test_a_preview_starts_nothing(client: Client) -> None:
    with client:
        preview = client.preview_run(CLICKS, {"execution_date": "2024-01-15", "limit": 3})
        assert preview.statements == ["select * from clicks where day = '2024-01-15' limit 3"]
        assert client.list_runs() == []


def test_workflows_are_listed_over_all_pages(basecamp: Basecamp, client: Client) -> None:
    for number in range(1100):
        basecamp.store.put(f"code/{number}.yaml", spec_of(f"many.{number:04}").encode(), expected="*missing*")
    with client:
        names = [workflow.dataset_name for workflow in client.list_workflows()]
    assert len(names) == 1101
    assert names == sorted(names)


def test_a_pause_and_its_end(client: Client) -> None:
    with client:
        assert client.pause(CLICKS).status is WorkflowStatus.PAUSED
        assert client.get_workflow(CLICKS).paused
        assert client.unpause(CLICKS).status is WorkflowStatus.ACTIVE
        with pytest.raises(NotPaused):
            client.unpause(CLICKS)


@pytest.mark.rule("19.13")
def test_a_registration_upon_another_etag_is_refused(client: Client) -> None:
    yaml = spec_of("mine")
    with client:
        registered = client.register("mine", yaml, {}, wait_seconds=0)
        assert client.get_dataset("mine").etag == registered.etag
        client.register("mine", yaml + "tags: [a]\n", {}, wait_seconds=0, if_match=registered.etag)
        with pytest.raises(Conflict):
            client.register("mine", yaml, {}, wait_seconds=0, if_match=registered.etag)


def test_the_server_checks_a_spec_without_storing_it(client: Client) -> None:
    with client:
        assert client.validate(spec_of("x"), {}).name == "x"
        found = client.validate(spec_of("x", more="tagz: []\n"), {}, file="datasets/x.yaml")
        assert (found.valid, found.problems[0]["file"], found.problems[0]["line"]) == (
            False,
            "datasets/x.yaml",
            5,
        )
        assert [dataset.name for dataset in client.list_datasets()] == [CLICKS]


def test_errors_arrive_as_their_kinds(client: Client) -> None:
    with client:
        with pytest.raises(MissingParameter):
            client.start_run(CLICKS)
        with pytest.raises(RunNotFound):
            client.get_run("nope")
        with pytest.raises(InvalidName):
            client.get_workflow("a/b")


def test_the_server_is_that_of_the_environment_unless_it_is_named(
    make_client: ClientMaker, basecamp: Basecamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_client() as client:
        assert client.list_workflows() == []
    monkeypatch.delenv("DLI_SERVER_URL")
    assert str(make_client()._transport.endpoint.server) == "http://127.0.0.1:8800"


@pytest.mark.rule("19.8")
def test_warnings_of_single_answers_and_of_lists_are_told(
    make_client: ClientMaker, basecamp: Basecamp
) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    told: list[str] = []
    with make_client(basecamp.url, warn=told.append) as client:
        client.get_workflow(CLICKS)
        assert client.list_workflows().warnings == []
        basecamp.airflow.down = "connection refused"
        client.get_workflow(CLICKS)
        assert len(told) == 1
        assert client.list_workflows().warnings


RUNNING = {"run_id": "a_1", "dataset_name": "a", "status": "RUNNING", "run_type": "adhoc"}


@pytest.mark.rule("20.16")
def test_following_a_run_bears_a_server_that_restarts(make_client: ClientMaker) -> None:
    gone = answer({"title": "Going down.", "code": "unavailable"}, status="503 Service Unavailable")
    steps = [
        answer(RUNNING),
        silence,
        silence,
        silence,
        silence,
        gone,
        answer({**RUNNING, "status": "FAILED"}),
    ]
    with scripted(*steps) as server, make_client(server.url) as client:
        seen = [run.status for run in client.follow_run("a_1", interval_seconds=0.01)]
    assert seen == [RunStatus.RUNNING, RunStatus.FAILED]


@pytest.mark.rule("33.26")
def test_older_server_is_asked_for_the_versions_without_a_limit(make_client: ClientMaker) -> None:
    problem = {"title": "Unknown query parameter 'limit'.", "status": 400, "code": "invalid_usage"}
    steps = [
        answer(problem, status="400 Bad Request", kind="application/problem+json"),
        answer({"name": "a.b", "manual": None, "code": None, "airflow": None, "warnings": []}),
    ]
    with scripted(*steps) as server, make_client(server.url) as client:
        assert client.get_versions("a.b").items == []
        targets = [request.target for request in server.received]
    assert targets == ["/api/v1/datasets/a.b/versions?limit=0", "/api/v1/datasets/a.b/versions"]


def test_the_end_of_a_short_run_is_noticed_soon(make_client: ClientMaker) -> None:
    steps = [*[answer(RUNNING)] * 5, answer({**RUNNING, "status": "COMPLETED"})]
    with scripted(*steps) as server, make_client(server.url) as client:
        began = monotonic()
        assert client.wait("a_1", interval_seconds=600).status is RunStatus.COMPLETED
    assert monotonic() - began < 600


@pytest.mark.rule("20.16")
@pytest.mark.parametrize(
    ("followed_for", "longest", "pause"),
    [(0, 1, 0.1), (10, 1, 0.5), (3600, 1, 1), (3600, 10, 10), (0, 0.01, 0.01)],
)
def test_the_longer_a_run_has_taken_the_longer_is_the_pause_between_two_looks(
    followed_for: float, longest: float, pause: float
) -> None:
    assert pause_after(followed_for, longest) == pytest.approx(pause)


def test_following_a_run_on_a_server_that_is_not_there_is_an_error_at_once(make_client: ClientMaker) -> None:
    with make_client("http://127.0.0.1:1") as client, pytest.raises(ServerUnreachable):
        next(client.follow_run("a_1"))


def test_following_a_run_ends_at_its_timeout_with_the_run_as_it_is(make_client: ClientMaker) -> None:
    with scripted(*[answer(RUNNING)] * 100) as server, make_client(server.url) as client:
        seen = list(client.follow_run("a_1", interval_seconds=0.01, timeout_seconds=0.1))
    assert 1 <= len(seen) <= 11
    assert not seen[-1].status.finished


def test_a_server_that_says_that_it_is_going_down_is_an_error_of_its_kind(make_client: ClientMaker) -> None:
    body = b'{"title": "Going down.", "code": "unavailable"}'
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with scripted(raw(head + body)) as server, make_client(server.url) as client, pytest.raises(Unavailable):
        client.list_runs()


def test_waiting_longer_than_the_timeout_is_an_error_that_leaves_the_run(make_client: ClientMaker) -> None:
    with (
        scripted(*[answer(RUNNING)] * 100) as server,
        make_client(server.url) as client,
        pytest.raises(TimeoutError, match="'a_1' has not finished yet; it keeps running"),
    ):
        client.wait("a_1", interval_seconds=0.01, timeout_seconds=0.1)


def log_piece(attempt: int, *lines: str, cursor: str | None, more: bool = False) -> dict[str, object]:
    return {
        "run_id": "a_1",
        "attempt": attempt,
        "attempts": 2,
        "lines": lines,
        "next_cursor": cursor,
        "more": more,
    }


def test_following_a_log_goes_from_before_the_start_through_the_attempts_to_the_end(
    make_client: ClientMaker,
) -> None:
    pieces = [
        log_piece(0, cursor="c0"),
        log_piece(1, "a", "b", cursor="c1"),
        log_piece(1, cursor="c2", more=True),
        log_piece(2, "c", cursor="c3"),
        log_piece(2, "d", cursor=None),
    ]
    with scripted(*map(answer, pieces)) as server, make_client(server.url) as client:
        read = [
            (log.attempt, line) for log in client.follow_log("a_1", interval_seconds=0) for line in log.lines
        ]
        asked = [request.target.split("?")[1] for request in server.received]
    assert read == [(1, "a"), (1, "b"), (2, "c"), (2, "d")]
    assert asked == ["cursor=start", "cursor=c0", "cursor=c1", "cursor=c2", "cursor=c3"]


def test_following_a_log_pauses_only_where_nothing_more_is_there(make_client: ClientMaker) -> None:
    pieces = [log_piece(1, "a", cursor="c", more=True)] * 20 + [log_piece(2, "b", cursor=None)]
    began = monotonic()
    with scripted(*map(answer, pieces)) as server, make_client(server.url) as client:
        assert len(list(client.follow_log("a_1", interval_seconds=60))) == 21
    assert monotonic() - began < 20 * 60, "after twenty pieces it does not pause for a minute"


@pytest.mark.rule("12.19")
def test_following_a_log_bears_a_server_that_restarts_and_loses_no_line(make_client: ClientMaker) -> None:
    gone = answer({"title": "Going down.", "code": "unavailable"}, status="503 Service Unavailable")
    steps = [
        answer(log_piece(1, "a", cursor="c1")),
        gone,
        *[silence] * 4,
        answer(log_piece(1, "b", cursor=None)),
    ]
    with scripted(*steps) as server, make_client(server.url) as client:
        read = [line for log in client.follow_log("a_1", interval_seconds=0.01) for line in log.lines]
        assert server.received[-1].target.endswith("cursor=c1")
    assert read == ["a", "b"]


def test_following_a_log_ends_at_its_timeout_and_goes_on_from_there(
    basecamp: Basecamp, client: Client
) -> None:
    with client:
        run = client.start_run(CLICKS, {"execution_date": "2024-01-15"})
        basecamp.start_attempt(run.run_id)
        basecamp.log(run.run_id, "first")
        *_, log = client.follow_log(run.run_id, interval_seconds=0.01, timeout_seconds=0.1)
        basecamp.log(run.run_id, "second")
        assert log.next_cursor is not None
        (more,) = client.follow_log(
            run.run_id, cursor=log.next_cursor, interval_seconds=0.01, timeout_seconds=0.1
        )
    assert [line.split()[-1] for line in log.lines + more.lines] == ["first", "second"]


def test_following_the_log_of_a_run_that_is_not_there_is_an_error(client: Client) -> None:
    with client, pytest.raises(RunNotFound):
        next(client.follow_log("nope"))


def test_a_backfill_is_waited_for_and_one_that_goes_on_is_left(basecamp: Basecamp, client: Client) -> None:
    with client:
        backfill = client.start_backfill(CLICKS, "2024-01-01", "2024-01-02")
        with pytest.raises(TimeoutError, match=f"backfill '{backfill.backfill_id}' has not finished yet"):
            client.wait_backfill(backfill.backfill_id, interval_seconds=0.01, timeout_seconds=0.1)
        client.stop_backfill(backfill.backfill_id)
        assert client.wait_backfill(backfill.backfill_id).status is RunStatus.KILLED


def test_dates_are_given_as_python_has_them(client: Client) -> None:
    with client:
        run = client.start_run(CLICKS, {"execution_date": date(2024, 1, 15)})
        assert run.parameters["execution_date"] == "2024-01-15"
        preview = client.preview_backfill(CLICKS, date(2024, 1, 15), date(2024, 1, 16))
        assert preview.dates == ["2024-01-15", "2024-01-16"]


def test_a_failed_run_is_retried_and_waited_for(basecamp: Basecamp, client: Client) -> None:
    with client:
        run = client.start_run(CLICKS, {"execution_date": "2024-01-15"})
        basecamp.fail(run.run_id)
        failed = client.wait(run.run_id)
        assert (failed.status, failed.error) == (RunStatus.FAILED, "Binder Error: no table 'clicks'")
        again = client.retry_run(run.run_id, idempotency_key="k")
        assert client.retry_run(run.run_id, idempotency_key="k") == again
        assert (again.status, again.run_id, again.attempts) == (RunStatus.PENDING, run.run_id, 2)
        with pytest.raises(Refused, match="This run is active"):
            client.retry_run(run.run_id)
        basecamp.complete(run.run_id)
        assert client.wait(run.run_id).status is RunStatus.COMPLETED


def test_a_call_whose_connection_broke_is_sent_again_with_its_key(make_client: ClientMaker) -> None:
    with scripted(silence, answer(RUNNING)) as server, make_client(server.url) as client:
        assert client.start_run("a").run_id == "a_1"
        first, second = server.received
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_a_server_that_never_answers_is_an_error_within_the_timeout(make_client: ClientMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with (
            make_client(url, timeout_seconds=0.2) as client,
            pytest.raises(ServerUnreachable) as raised,
        ):
            client.list_runs()
    assert "no answer within 0.2 s" in str(raised.value.detail)


def test_a_server_that_is_not_there_says_why(make_client: ClientMaker) -> None:
    with make_client("http://127.0.0.1:1") as client, pytest.raises(ServerUnreachable) as raised:
        client.list_runs()
    assert "http://127.0.0.1:1: connection refused" in str(raised.value.detail)


def test_each_call_is_told_in_one_line(client: Client, basecamp: Basecamp, make_client: ClientMaker) -> None:
    lines: list[str] = []
    with make_client(basecamp.url, log=lines.append) as told:
        told.list_runs()
    assert [line.split(" in ")[0] for line in lines] == ["GET /api/v1/runs?limit=20: 200"]
