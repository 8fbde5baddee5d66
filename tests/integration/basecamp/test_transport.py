"""The transport against a real HTTP server."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from basecamp.airflow.airflow_2 import Airflow2
from basecamp.airflow.airflow_3 import Airflow3
from basecamp.airflow.authorization import AirflowToken, Credentials, Everyone, Password
from basecamp.airflow.connect import NotAirflow, connect, late_gateway
from basecamp.airflow.gateway import RunExists
from basecamp.airflow.transport import RETRY_PAUSES_SECONDS, AirflowRefused, AirflowTransport
from dataspec.errors import AirflowUnreachable

Script = Callable[[Any], None]
NOW = datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC)


@pytest.fixture
def transport_to(server: Any) -> Iterator[Callable[..., AirflowTransport]]:
    made = []

    def make(credentials: Credentials | None = None, url: str | None = None, **more: Any) -> AirflowTransport:
        options: dict[str, Any] = {"timeout_seconds": 5.0, "sleep": lambda _: None, **more}
        transport = AirflowTransport(url or server.url, credentials or Everyone(), **options)
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


def statuses(*given: int) -> Script:
    """Return a script that answers with each status in turn, and 200 after them."""
    left = list(given)
    return lambda handler: handler.answer(left.pop(0) if left else 200, {"detail": "trouble"})


def without_probes(server: Any) -> list[Any]:
    """Return the requests that came, without those that find out whether Airflow answers again."""
    return [request for request in server.asked if request[1] != "/api/v2/monitor/health"]


@pytest.mark.rule("15.3")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_what_can_be_repeated_is_sent_again_after_passing_trouble(
    server: Any, transport_to: Callable[..., AirflowTransport], status: int
) -> None:
    server.script = statuses(status, status)
    assert transport_to().request("GET", "/api/v2/dags").status == 200
    assert len(server.asked) == 3


def test_after_three_tries_it_gives_up_and_says_what_airflow_said(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = statuses(503, 503, 503)
    with pytest.raises(AirflowUnreachable) as caught:
        transport_to().request("GET", "/api/v2/dags")
    assert caught.value.title == "Airflow answered with an error."
    assert caught.value.detail == f"GET {server.url}/api/v2/dags: 503 trouble"
    assert len(server.asked) == 3


@pytest.mark.rule("15.3")
def test_what_starts_something_is_never_sent_twice(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = statuses(503)
    with pytest.raises(AirflowUnreachable):
        transport_to().request("POST", "/api/v2/dags/x/dagRuns", json={})
    assert len(server.asked) == 1


@pytest.mark.rule("15.3")
def test_a_change_is_sent_again_where_another_wrote_at_the_same_moment(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = statuses(409)
    assert transport_to().request("PATCH", "/api/v2/dags/x/dagRuns/y", json={}).status == 200
    assert len(server.asked) == 2


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_exists_already_is_not_asked_for_again(
    server: Any, transport_to: Callable[..., AirflowTransport], method: str
) -> None:
    server.script = statuses(409)
    assert (
        transport_to().request(method, "/api/v2/dags/x/dagRuns", json={}, expect=frozenset({409})).status
        == 409
    )
    assert len(server.asked) == 1


def closes(handler: Any) -> None:
    """Close the connection without an answer, as a server does that closes idle ones."""
    handler.close_connection = True


def resets(handler: Any) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cuts_headers(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    handler.close_connection = True


def cuts_body(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    handler.close_connection = True


BREAKS = [closes, resets, cuts_headers, cuts_body]


def broken(times: int, how: Script, then: Script) -> Script:
    """Return a script that breaks the first connections."""
    left = [how] * times
    return lambda handler: left.pop()(handler) if left else then(handler)


@pytest.mark.rule("15.3")
@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH"])
def test_what_can_be_repeated_is_sent_again_after_the_connection_broke(
    server: Any, transport_to: Callable[..., AirflowTransport], method: str, how: Script
) -> None:
    transport = transport_to()
    transport.request("GET", "/api/v2/version")  # leaves a connection that is idle
    server.script = broken(2, how, lambda handler: handler.answer(200, {"done": True}))
    assert transport.request(method, "/api/v2/dags").body == {"done": True}
    assert len(server.asked) == 4


@pytest.mark.rule("15.3")
@pytest.mark.parametrize("how", BREAKS)
def test_after_three_broken_connections_airflow_does_not_answer(
    server: Any, transport_to: Callable[..., AirflowTransport], how: Script
) -> None:
    server.script = how
    with pytest.raises(AirflowUnreachable, match="does not answer"):
        transport_to().request("GET", "/api/v2/dags")
    assert len(without_probes(server)) == 3


@pytest.mark.rule("15.3")
@pytest.mark.parametrize("how", BREAKS)
def test_what_may_have_had_an_effect_is_not_sent_again_after_the_connection_broke(
    server: Any, transport_to: Callable[..., AirflowTransport], how: Script
) -> None:
    server.script = how
    with pytest.raises(AirflowUnreachable, match="does not answer"):
        transport_to().request("POST", "/api/v2/dags/x/dagRuns/y/clear", json={})
    assert len(without_probes(server)) == 1


@pytest.mark.rule("15.3")
@pytest.mark.parametrize("how", BREAKS)
def test_a_connection_that_broke_under_a_request_that_is_sent_once_stops_no_other_request(
    server: Any, transport_to: Callable[..., AirflowTransport], how: Script
) -> None:
    def break_all_but_reads(handler: Any) -> None:
        is_read = handler.path.startswith("/api/v2/dags") and handler.command == "GET"
        handler.answer(200, {}) if is_read else how(handler)

    server.script = break_all_but_reads
    transport = transport_to()
    with pytest.raises(AirflowUnreachable, match="does not answer"):
        transport.request("POST", "/api/v2/dags/x/dagRuns/y/clear", json={})
    assert transport.request("GET", "/api/v2/dags").status == 200


@pytest.mark.rule("15.5")
def test_a_log_in_is_repeated_after_the_connection_broke(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = broken(2, closes, lambda handler: handler.answer(200, {"access_token": "abc"}))
    assert transport_to(Password("me", "x")).request("GET", "/api/v2/dags").status == 200


class RunsKept:
    """Keeps the runs that it is told to trigger, as Airflow does: an id once."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}

    def __call__(self, handler: Any) -> None:
        status, body = self.act(handler)
        handler.answer(status, body)

    def lose(self, handler: Any) -> None:
        """Act, and lose the answer."""
        self.act(handler)
        closes(handler)

    def act(self, handler: Any) -> tuple[int, Any]:
        method, path, asked, _ = handler.server.asked[-1]
        if method == "GET":
            return 200, self.runs[path.rpartition("/")[2]]
        if asked["dag_run_id"] in self.runs:
            return 409, {"detail": "exists"}
        times = ("data_interval_start", "data_interval_end", "start_date", "end_date", "queued_at")
        more: dict[str, Any] = {
            "dag_id": "x",
            "state": "queued",
            "run_type": "manual",
            "note": None,
            "dag_versions": [],
        }
        run = dict.fromkeys(times) | more | asked | {"run_after": asked["logical_date"]}
        self.runs[asked["dag_run_id"]] = run
        return 200, run


@pytest.mark.rule("15.3")
@pytest.mark.parametrize("gateway", [Airflow2, Airflow3])
def test_a_trigger_whose_answer_was_lost_meets_its_own_run(
    server: Any, transport_to: Callable[..., AirflowTransport], gateway: type[Airflow2 | Airflow3]
) -> None:
    kept = RunsKept()
    server.script = broken(1, kept.lose, kept)
    airflow = gateway(transport_to())
    conf = {"limit": 1, "_dli": {"idempotency_key": "mine"}}
    run = airflow.trigger("x", "x_1", logical_date=NOW, conf=conf)
    assert (run.run_id, run.conf, run.logical_date) == ("x_1", conf, NOW)
    with pytest.raises(RunExists):  # another call, whose answer was not lost
        airflow.trigger("x", "x_1", logical_date=NOW, conf=conf)


@pytest.mark.rule("15.3")
def test_a_repeated_trigger_that_meets_a_run_with_another_conf_is_told_so(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    kept = RunsKept()
    server.script = kept
    airflow = Airflow3(transport_to())
    airflow.trigger("x", "x_1", logical_date=NOW, conf={"by": "another"})
    server.script = broken(1, closes, kept)
    with pytest.raises(RunExists):
        airflow.trigger("x", "x_1", logical_date=NOW, conf={"by": "me"})


@pytest.mark.rule("15.21")
def test_airflows_time_is_the_date_of_its_last_answer(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = lambda handler: handler.answer(200, {"version": "3.3.2"})
    transport = transport_to()
    assert transport.now() is None
    gateway = connect(transport)
    known = gateway.now()
    assert known is not None
    assert timedelta(seconds=-30) < datetime.now(UTC) - known < timedelta(seconds=30)


def turned_away(times: int, **headers: str) -> Script:
    """Return a script that answers 429 some times, and 200 after them."""
    left = [429] * times
    return lambda handler: (
        handler.answer(left.pop(), {"detail": "slow down"}, **headers) if left else handler.answer(200, {})
    )


@pytest.mark.rule("15.4")
def test_what_was_turned_away_unread_is_sent_again_whatever_it_is(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = turned_away(2)
    slept: list[float] = []
    assert transport_to(sleep=slept.append).request("POST", "/api/v2/dags/x/dagRuns", json={}).status == 200
    assert len(server.asked) == 3
    assert slept == list(RETRY_PAUSES_SECONDS)


@pytest.mark.rule("15.4")
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (lambda: "2", (2, 2)),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=400), usegmt=True), (300, 400)),
        (lambda: "soon", (0.2, 0.2)),
        (lambda: "-1", (0.2, 0.2)),
        (lambda: "Wed, 21 Oct 2015 07:28:00 GMT", (0.2, 0.2)),
    ],
)
def test_the_next_try_comes_when_airflow_asks_for_it(
    server: Any,
    transport_to: Callable[..., AirflowTransport],
    said: Callable[[], str],
    seconds: tuple[float, float],
) -> None:
    server.script = turned_away(1, Retry_After=said())
    slept: list[float] = []
    transport_to(sleep=slept.append, timeout_seconds=1000.0).request("GET", "/api/v2/dags")
    assert len(slept) == 1
    assert seconds[0] <= slept[0] <= seconds[1]


@pytest.mark.rule("15.4")
@pytest.mark.parametrize("said", ["60", "9" * 400])
def test_a_pause_beyond_the_timeout_is_an_error_at_once_and_airflow_is_left_alone_until_then(
    server: Any, transport_to: Callable[..., AirflowTransport], said: str
) -> None:
    server.script = turned_away(1, Retry_After=said)
    slept: list[float] = []
    transport = transport_to(sleep=slept.append, timeout_seconds=5.0)
    for _ in range(3):
        with pytest.raises(AirflowUnreachable, match="too many requests") as caught:
            transport.request("GET", "/api/v2/dags")
    assert str(caught.value.detail).startswith(
        f"GET {server.url}/api/v2/dags: 429 slow down\nIt wants no other"
    )
    assert slept == []
    assert len(server.asked) == 1


def test_all_pauses_together_stay_within_the_timeout(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = turned_away(5, Retry_After="300")
    slept: list[float] = []
    with pytest.raises(AirflowUnreachable, match="too many requests"):
        transport_to(sleep=slept.append, timeout_seconds=500.0).request("GET", "/api/v2/dags")
    assert slept == [300]


@pytest.mark.rule("15.3")
def test_an_answer_that_does_not_come_in_time_is_not_waited_for(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    release = threading.Event()

    def hang(handler: Any) -> None:
        release.wait(300)
        handler.close_connection = True

    server.script = hang
    with pytest.raises(AirflowUnreachable, match="does not answer") as caught:
        transport_to(timeout_seconds=0.2).request("GET", "/api/v2/dags")
    release.set()
    assert "no answer in time" in str(caught.value.detail)
    assert len(without_probes(server)) == 1


def trickles(start: bytes) -> Script:
    """Return a script that sends a piece of an answer at once, and then one byte each tenth of a second."""

    def script(handler: Any) -> None:
        handler.connection.sendall(start)
        with suppress(OSError):
            for _ in range(3000):
                handler.connection.sendall(b" ")
                time.sleep(0.1)
        handler.close_connection = True

    return script


@pytest.mark.rule("15.3")
@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nDate: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"],
    ids=["headers", "body"],
)
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(
    server: Any, transport_to: Callable[..., AirflowTransport], start: bytes
) -> None:
    transport = transport_to(timeout_seconds=1.0)
    server.script = trickles(start)
    began = time.monotonic()
    with pytest.raises(AirflowUnreachable) as caught:
        transport.request("GET", "/api/v2/dags")
    assert time.monotonic() - began < 120
    assert "no answer in time" in (caught.value.detail or "")
    server.script = statuses()
    while True:
        with suppress(AirflowUnreachable):
            assert transport.request("GET", "/api/v2/dags").status == 200
            break
        assert time.monotonic() - began < 240, "its probe waits for the trickle"
        time.sleep(0.1)


def test_a_server_that_is_not_there_is_named_without_credentials(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    transport = transport_to(Password("me", "hunter2"), url="http://127.0.0.1:1")
    with pytest.raises(AirflowUnreachable) as caught:
        transport.request("GET", "/api/v2/dags", params={"secret": "hunter2"})
    detail = str(caught.value.detail)
    assert "http://127.0.0.1:1/" in detail
    assert "Connection refused" in detail
    assert "BASECAMP_AIRFLOW_URL" in detail
    assert "hunter2" not in detail


def test_right_after_a_failure_others_fail_at_once(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    observed: list[str] = []
    transport = transport_to(
        url="http://127.0.0.1:1", observe=lambda _method, outcome, _seconds: observed.append(outcome)
    )
    for _ in range(5):
        with pytest.raises(AirflowUnreachable, match="does not answer"):
            transport.request("GET", "/api/v2/dags")
    assert observed == ["unreachable"] * 3


@pytest.mark.rule("15.5")
def test_a_password_is_exchanged_for_a_token_once(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = lambda handler: handler.answer(200, {"access_token": "abc"})
    transport = transport_to(Password("me", "hunter2"))
    for _ in range(3):
        transport.request("GET", "/api/v2/dags")
    assert server.asked[0] == ("POST", "/auth/token", {"username": "me", "password": "hunter2"}, None)
    assert [asked[3] for asked in server.asked[1:]] == ["Bearer abc"] * 3


@pytest.mark.rule("15.5")
@pytest.mark.parametrize(("status", "detail"), [(401, "Token Expired"), (403, "Invalid JWT token")])
def test_a_token_that_is_no_longer_good_is_renewed_once(
    server: Any, transport_to: Callable[..., AirflowTransport], status: int, detail: str
) -> None:
    tokens = iter(["old", "new"])

    def answer(handler: Any) -> None:
        if handler.path == "/auth/token":
            handler.answer(201, {"access_token": next(tokens)})
        elif handler.headers["Authorization"] == "Bearer old":
            handler.answer(status, {"detail": detail})
        else:
            handler.answer(200, {})

    server.script = answer
    assert transport_to(Password("me", "x")).request("GET", "/api/v2/dags").status == 200
    assert server.count("/auth/token") == 2


@pytest.mark.rule("15.5")
def test_of_many_threads_one_renews_the_token(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    good = "first"

    def answer(handler: Any) -> None:
        if handler.path == "/auth/token":
            handler.answer(201, {"access_token": good})
        elif handler.headers["Authorization"] == f"Bearer {good}":
            handler.answer(200, {})
        else:
            handler.answer(401, {"detail": "Token Expired"})

    server.script = answer
    transport = transport_to(Password("me", "x"))
    transport.request("GET", "/api/v2/dags")
    good = "second"
    threads = [threading.Thread(target=transport.request, args=("GET", "/api/v2/dags")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.count("/auth/token") == 2


@pytest.mark.parametrize(
    ("credentials", "status", "told"),
    [
        (Password("me", "wrong"), 401, "BASECAMP_AIRFLOW_PASSWORD"),
        (AirflowToken("old"), 401, "BASECAMP_AIRFLOW_TOKEN"),
        (Everyone(), 403, "role Op"),
    ],
)
def test_refused_credentials_say_which_setting_to_look_at(
    server: Any,
    transport_to: Callable[..., AirflowTransport],
    credentials: Credentials,
    status: int,
    told: str,
) -> None:
    server.script = lambda handler: handler.answer(status, {"detail": "no"})
    with pytest.raises(AirflowRefused) as caught:
        transport_to(credentials).request("GET", "/api/v2/dags")
    assert told in str(caught.value.detail)
    assert "wrong" not in str(caught.value.detail)


def test_a_login_page_instead_of_json_is_told_as_such(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = lambda handler: handler.answer(200, b"<html>", content_type="text/html")
    with pytest.raises(AirflowUnreachable, match="something else than JSON"):
        transport_to().request("GET", "/api/v2/dags")


@pytest.mark.parametrize("body", [{}, {"dags": [{}], "total_entries": 1}, {"dags": 5}, [], {"dags": [None]}])
def test_an_answer_of_another_shape_is_told_with_its_address(
    server: Any, transport_to: Callable[..., AirflowTransport], body: Any
) -> None:
    server.script = lambda handler: handler.answer(200, body)
    with pytest.raises(AirflowUnreachable, match="something unexpected") as caught:
        Airflow3(transport_to()).list_dags()
    assert str(caught.value.detail).startswith(f"GET {server.url}/api/v2/dags: ")


@pytest.mark.rule("15.17")
@pytest.mark.parametrize(("most", "requests"), [(100, 21), (2000, 2)])
@pytest.mark.parametrize("gateway", [Airflow2, Airflow3])
def test_dags_are_listed_in_pages_as_large_as_airflow_is_set_up_to_give(
    server: Any,
    transport_to: Callable[..., AirflowTransport],
    gateway: type[Airflow2 | Airflow3],
    most: int,
    requests: int,
) -> None:
    row: dict[str, Any] = {
        "is_paused": False,
        "is_active": True,
        "is_stale": False,
        "has_import_errors": False,
    }
    row |= {"fileloc": "/dags/a.py", "relative_fileloc": "a.py", "bundle_name": "datasets"}
    row |= {"file_token": "x", "next_dagrun_run_after": None, "next_dagrun_create_after": None}
    rows = [row | {"dag_id": f"a.{number}"} for number in range(2050)]

    def page(handler: Any) -> None:
        asked = parse_qs(handler.path.partition("?")[2])
        start, limit = int(asked["offset"][0]), min(int(asked["limit"][0]), most)
        handler.answer(200, {"dags": rows[start : start + limit], "total_entries": len(rows)})

    server.script = page
    found = gateway(transport_to()).list_dags()
    assert [dag.dag_id for dag in found] == [row["dag_id"] for row in rows]
    assert len(server.asked) == requests


@pytest.mark.rule("15.1")
def test_airflow_3_is_found_out_by_asking(server: Any, transport_to: Callable[..., AirflowTransport]) -> None:
    server.script = lambda handler: handler.answer(200, {"version": "3.3.2"})
    assert isinstance(connect(transport_to()), Airflow3)


@pytest.mark.rule("15.1")
def test_an_airflow_3_that_is_too_old_is_refused(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = lambda handler: handler.answer(200, {"version": "3.2.1"})
    with pytest.raises(NotAirflow, match=r"Airflow 3\.2\.1 is not supported"):
        connect(transport_to())


def airflow_2(version: str) -> Callable[[Any], None]:
    """Answer as an Airflow 2 does that asks for a name and a password."""

    def answer(handler: Any) -> None:
        path, _, _ = handler.path.partition("?")
        if path == "/api/v1/version":
            handler.answer(200, {"version": version})
        elif not path.startswith("/api/v1/"):
            handler.answer(404, {})
        elif handler.headers.get("Authorization") != BASIC:
            handler.answer(401, {"detail": "Unauthorized"})
        else:
            handler.answer(200, {"dags": [], "total_entries": 0})

    return answer


BASIC = "Basic " + base64.b64encode(b"basecamp:secret").decode()


@pytest.mark.rule("15.1")
def test_airflow_2_is_told_apart_and_gets_the_name_and_password_with_each_request(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = airflow_2("2.11.2")
    gateway = connect(transport_to(Password("basecamp", "secret")))
    assert isinstance(gateway, Airflow2)
    assert gateway.list_dags() == []


def test_airflow_2_that_refuses_the_password_is_asked_no_second_time(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = airflow_2("2.11.2")
    gateway = connect(transport_to(Password("basecamp", "wrong")))
    with pytest.raises(AirflowRefused, match="does not accept Basecamp's credentials"):
        gateway.list_dags()
    assert sum("/dags" in path for _, path, *_ in server.asked) == 1


@pytest.mark.rule("15.1")
@pytest.mark.parametrize("version", ["2.10.5", "3.2.1"])
def test_an_airflow_of_another_line_is_refused(
    server: Any, transport_to: Callable[..., AirflowTransport], version: str
) -> None:
    server.script = airflow_2(version)
    with pytest.raises(NotAirflow, match=rf"Airflow {re.escape(version)} is not supported") as refused:
        connect(transport_to())
    assert "supports Airflow 2.11, and 3.3 and later" in str(refused.value.detail)


@pytest.mark.rule("18.4")
def test_an_airflow_that_comes_up_later_is_found_out_by_the_first_call_that_reaches_it(
    server: Any, transport_to: Callable[..., AirflowTransport]
) -> None:
    server.script = lambda handler: handler.answer(503)
    gateway = late_gateway(transport_to(Password("basecamp", "secret")))
    assert gateway.url == server.url
    with pytest.raises(AirflowUnreachable):
        gateway.list_dags()
    server.script = airflow_2("2.11.2")
    assert gateway.list_dags() == []
    assert gateway.run_page("a.b", "a.b_20240115_093045") == "/dags/a.b/grid?dag_run_id=a.b_20240115_093045"


@pytest.mark.rule("15.1")
@pytest.mark.parametrize("body", [b"<html>hello", b'{"version": 5}', b"[]", b'{"version": "nginx"}'])
def test_another_server_is_told_apart(
    server: Any, transport_to: Callable[..., AirflowTransport], body: bytes
) -> None:
    server.script = lambda handler: handler.answer(200, body)
    with pytest.raises(NotAirflow, match="not an Airflow"):
        connect(transport_to())
