"""Clients: threads that send requests by the `dli` library, each with its key until it has an answer, to any replica."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal

from chaos.replicas import Replica
from dataspec.errors import DliError, InternalError, NotLoaded, Replaced, Unavailable
from dli import Client
from dli.client.client import Transport
from dli.client.protocol import Call

NAMES = ("chaos.steady", "chaos.changing", "chaos.leaving", "chaos.paused")
"""The datasets; only `chaos.leaving` is unregistered, only `chaos.paused` is paused."""
LEAVING, PAUSED = NAMES[2:]
CONNECTION = "chaos_warehouse"
TRIES = 6
TIMEOUT_SECONDS = 45.0
LOAD_SECONDS = 20
"""How long a registration waits for Airflow."""
PAUSE_SECONDS = 3.0
"""The mean pause of a client between two requests."""

YAML = """\
name: {name}
type: Dataset
owner: engineer@example.com
team: "@data"
description: {mark}
query_statement: >-
  insert into executions (dataset, request, day, spec, began, ended)
  select '{name}', '{{{{ request }}}}', '{{{{ execution_date }}}}', '{mark}', now(), clock_timestamp()
  from pg_sleep({seconds}) where 1 / {{{{ divisor }}}} = 1
parameters:
  - {{name: execution_date, type: date}}
  - {{name: request, type: string, required: false, default: schedule}}
  - {{name: divisor, type: integer, required: false, default: 1}}
execution: {{connection: chaos_warehouse, dialect: postgres, timeout_seconds: 120}}
schedule:
  cron: "{cron}"
  retry: {{max_attempts: 1, delay_seconds: 1}}
  notifications:
    on_failure: [{{type: webhook, url: "{hook}"}}]
"""

Outcome = Literal["done", "refused", "unknown"]


@dataclass
class Request:
    """A request of a client, with what became of it.

    Attributes:
        number: Its key.
        outcome: `done` once an answer says so, `refused` if each answer refused it, `unknown` else.
        answer: The answer of the one that was done.
    """

    number: str
    kind: str
    name: str
    given: dict[str, Any] = field(default_factory=dict)
    began_at: float = 0.0
    ended_at: float = 0.0
    outcome: Outcome = "unknown"
    answer: Any = None
    error: DliError | None = None
    tries: int = 0


class Server:
    """One replica, as one thread talks to it."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        url = replica.url
        self.client = Client(url, user="chaos", timeout_seconds=TIMEOUT_SECONDS)
        self._transport = Transport(url, user="chaos", timeout_seconds=TIMEOUT_SECONDS)

    def send(
        self, method: str, *path: str, key: str, query: dict[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Send a request with its key; the client's own methods make a new key for each call."""
        call = Call(method, path, query or {}, body, {"Idempotency-Key": key})
        return self._transport.call(call)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self._transport.close()


class Clients:
    """All clients of a run.

    Attributes:
        requests: What they asked for.
        problems: Answers that must never come, by the version of the server.
    """

    def __init__(self, seed: int, count: int, replicas: Sequence[Replica], hook: str) -> None:
        self.requests: list[Request] = []
        self.problems: dict[str, list[str]] = defaultdict(list)
        self.ending = threading.Event()
        self._replicas = replicas
        self._hook = hook
        self._numbers = itertools.count(1)
        self._threads = [
            threading.Thread(target=self._work, args=(Random(f"{seed} client {number}"),), daemon=True)
            for number in range(count)
        ]

    def begin(self) -> None:
        """Register every dataset, then start all clients."""
        with ExitStack() as stack:
            servers = self._servers(stack)
            for name in NAMES:
                asked = self._asked("register", name, Random(name))
                self._send(asked, servers, Random(name))
                assert asked.outcome == "done", asked.error
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for the last answers; requests are repeated no more."""
        self.ending.set()
        for thread in self._threads:
            thread.join()

    def done(self, *kinds: str) -> list[Request]:
        """Return the acknowledged requests of some kinds."""
        return [asked for asked in self.requests if asked.kind in kinds and asked.outcome == "done"]

    def _servers(self, stack: ExitStack) -> list[Server]:
        servers = [Server(replica) for replica in self._replicas]
        for server in servers:
            stack.callback(server.close)
        return servers

    def _work(self, random: Random) -> None:
        with ExitStack() as stack:
            servers = self._servers(stack)
            while not self.ending.wait(random.expovariate(1 / PAUSE_SECONDS)):
                kind = random.choices(list(KINDS), weights=[weight for weight, _ in KINDS.values()])[0]
                self._send(self._asked(kind, random.choice(names_for(kind)), random), servers, random)

    def _asked(self, kind: str, name: str, random: Random) -> Request:
        number = f"request-{next(self._numbers):05d}"
        asked = Request(number, kind, name, began_at=time.monotonic())
        cron = f"{random.randrange(60)} {random.randrange(24)} 1 1 *"
        if kind == "register":
            text = YAML.format(
                name=name, mark=number, cron=cron, hook=self._hook, seconds=random.choice((0, 0.5, 2))
            )
            asked.given = {"yaml": text, "cron": cron}
        elif kind == "update":
            asked.given = {"cron": cron}
        elif kind in {"run", "backfill"}:
            day = random.randrange(1, 25)
            asked.given = {
                "start": f"2026-01-{day:02}",
                "end": f"2026-01-{day + random.randrange(4):02}",
                "divisor": 0 if random.random() < 0.1 else 1,
            }
        elif kind in {"stop", "retry", "stop_backfill"}:
            asked.given = {"id": self._known_id("backfill" if kind == "stop_backfill" else "run", random)}
        self.requests.append(asked)
        return asked

    def _known_id(self, kind: str, random: Random) -> str:
        """Return the id of a late run or backfill that a client knows of."""
        answers = [asked.answer for asked in self.requests if asked.kind == kind and asked.answer]
        if not answers:
            return f"adhoc__{NAMES[0]}__20260101T000000_001"
        answer = random.choice(answers[-5:])
        return str(answer.run_id if kind == "run" else answer.backfill_id)

    def _send(self, asked: Request, servers: Sequence[Server], random: Random) -> None:
        unknown = False
        while asked.tries < TRIES:
            self._attempt(asked, random.choice(servers))
            if asked.outcome != "unknown":
                break
            unknown = True
            if self.ending.wait(random.uniform(0.2, 5)):
                break
        if unknown and asked.outcome == "refused":
            asked.outcome = "unknown"

    def _attempt(self, asked: Request, server: Server) -> None:
        asked.tries += 1
        asked.error = None
        version = server.replica.version.name
        try:
            asked.answer, asked.outcome = KINDS[asked.kind][1](server, asked), "done"
            asked.given["answered"] = datetime.now(UTC)
        except (NotLoaded, Replaced) as error:  # a spec was stored
            asked.error, asked.outcome = error, "done" if asked.kind in {"register", "update"} else "refused"
        except Unavailable as error:
            asked.error, asked.outcome = error, "unknown"
        except InternalError as error:
            asked.error, asked.outcome = error, "unknown"
            self.problems[version].append(f"{asked.number} ({asked.kind}) got {error.title} {error.detail}")
        except DliError as error:
            asked.error, asked.outcome = error, "refused"
        except Exception as error:  # noqa: BLE001 - every one is a finding
            asked.outcome = "unknown"
            self.problems[version].append(f"{asked.number} ({asked.kind}) ended with {error!r}")
        asked.ended_at = time.monotonic()


def names_for(kind: str) -> Sequence[str]:
    """Return the datasets of a kind of request."""
    only = {"unregister": LEAVING, "pause": PAUSED, "unpause": PAUSED}
    return (only[kind],) if kind in only else NAMES


def _register(server: Server, asked: Request) -> Any:
    body = {"yaml": asked.given["yaml"], "files": {}, "accept_override": True}
    return server.send(
        "PUT", "datasets", asked.name, key=asked.number, query={"wait": LOAD_SECONDS}, body=body
    )


def _update(server: Server, asked: Request) -> Any:
    body = {"cron": asked.given["cron"]}
    return server.send("PATCH", "datasets", asked.name, key=asked.number, query={"wait": 0}, body=body)


def _unregister(server: Server, asked: Request) -> Any:
    return server.send("DELETE", "datasets", asked.name, key=asked.number, query={"accept_active": "true"})


def _pause(server: Server, asked: Request) -> Any:
    return server.send("POST", "workflows", asked.name, asked.kind, key=asked.number, body={})


def _run(server: Server, asked: Request) -> Any:
    parameters = {
        "execution_date": asked.given["start"],
        "request": asked.number,
        "divisor": asked.given["divisor"],
    }
    return server.client.start_run(asked.name, parameters, idempotency_key=asked.number)


def _stop(server: Server, asked: Request) -> Any:
    return server.client.stop_run(asked.given["id"])


def _retry(server: Server, asked: Request) -> Any:
    return server.client.retry_run(asked.given["id"], idempotency_key=asked.number)


def _backfill(server: Server, asked: Request) -> Any:
    parameters = {"request": asked.number, "divisor": asked.given["divisor"]}
    start, end = asked.given["start"], asked.given["end"]
    return server.client.start_backfill(asked.name, start, end, parameters, idempotency_key=asked.number)


def _stop_backfill(server: Server, asked: Request) -> Any:
    return server.client.stop_backfill(asked.given["id"])


def _look(server: Server, _: Request) -> Any:
    server.client.list_workflows()
    server.client.list_runs()
    return server.client.list_backfills()


KINDS: dict[str, tuple[int, Callable[[Server, Request], Any]]] = {
    "register": (4, _register),
    "update": (3, _update),
    "unregister": (1, _unregister),
    "pause": (1, _pause),
    "unpause": (2, _pause),
    "run": (8, _run),
    "stop": (2, _stop),
    "retry": (2, _retry),
    "backfill": (3, _backfill),
    "stop_backfill": (1, _stop_backfill),
    "look": (6, _look),
}
"""What clients ask for: how often, and how."""
