"""Clients: each request is repeated with its key until it has an answer, on any replica, as ``dli`` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from basecamp.access.principal import open_principal
from basecamp.backfills.requests import BackfillRequest
from basecamp.datasets.submitted_specs import SubmittedSpec
from basecamp.outages.request_budget import REQUEST_SECONDS, request_budget
from basecamp.runs.history import HistoryFilter
from basecamp.runs.start import RunRequest
from basecamp.services import Services
from basecamp.shared.waiting import run_through
from dataspec.errors import DliError, InternalError, NotLoaded, Replaced, Unavailable
from dataspec.models import SourceType
from dataspec.spec.yaml_editor import ScheduleChanges
from simulation.scheduler import Died, SimulatedFuture
from simulation.world import World, request

CLIENT = open_principal("client")
NAMES = tuple(f"team.data_{number}" for number in range(4))
TRIES = 4

YAML = """\
name: {name}
type: Dataset
owner: engineer@example.com
team: "@data"
description: {mark}
query_statement: create or replace table t as select date '{{{{ execution_date }}}}' as day
parameters:
  - name: execution_date
    type: date
schedule:
  cron: "{minute} 4 * * *"
  notifications:
    on_failure: [{{type: webhook, url: "https://hooks.example.com/a"}}]
    on_source_change: [{{type: webhook, url: "https://hooks.example.com/b"}}]
"""

Outcome = Literal["done", "refused", "unknown"]


@dataclass
class Request:
    """A request of a client, with what became of it.

    Attributes:
        number: Its key.
        kind: What it asks for.
        name: The dataset.
        given: Its values.
        outcome: ``done`` once an answer says so, ``refused`` if each answer refused it, ``unknown`` else.
        answer: The answer of the one that was done.
        answered_at: When that came.
        repeated: Whether it was sent again after its answer, as a network may do.
    """

    number: str
    kind: str
    name: str
    given: dict[str, Any] = field(default_factory=dict)
    began_at: float = 0.0
    outcome: Outcome = "unknown"
    answer: Any = None
    error: DliError | None = None
    answered_at: float | None = None
    repeated: bool = False


class Clients:
    """Makes requests at random."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.requests: list[Request] = []
        self.ending = False
        self._numbers = iter(range(1, 1_000_000_000))

    def work(self) -> None:
        """Make one request after the other, until the end."""
        while not self.ending:
            self.world.scheduler.park(self.world.random.expovariate(0.7))
            asked = self._next()
            self.requests.append(asked)
            self._send(asked)
            if asked.answer is not None and asked.kind in KEYED and self.world.random.random() < 0.2:
                self.world.scheduler.park(self.world.random.uniform(0, 30))
                asked.repeated = True
                self._attempt(asked, keep=False)

    def _next(self) -> Request:
        random, number = self.world.random, f"request-{next(self._numbers)}"
        kind = random.choices(list(KINDS), weights=[weight for weight, _ in KINDS.values()])[0]
        asked = Request(number, kind, random.choice(NAMES), began_at=self.world.scheduler.now)
        if kind in {"register", "deploy"}:
            asked.given = {"yaml": YAML.format(name=asked.name, mark=number, minute=random.randrange(60))}
        elif kind == "update":
            asked.given = {"cron": f"{random.randrange(60)} {random.randrange(24)} * * *"}
        elif kind in {"run", "backfill"}:
            day = random.randrange(1, 25)
            asked.given = {"start": f"2026-01-{day:02}", "end": f"2026-01-{day + random.randrange(5):02}"}
        elif kind in {"stop", "retry"}:
            asked.given = {"id": self._known_id("run")}
        elif kind == "stop_backfill":
            asked.given = {"id": self._known_id("backfill")}
        return asked

    def _known_id(self, kind: str) -> str:
        """Return the id of a run or backfill that a client knows of."""
        answers = [asked.answer for asked in self.requests if asked.kind == kind and asked.answer is not None]
        if not answers:
            return f"adhoc__{NAMES[0]}__20260101T000000_001"
        answer = self.world.random.choice(answers)
        return str(answer.run_id if kind == "run" else answer.backfill_id)

    def _send(self, asked: Request) -> None:
        unknown = False
        for _ in range(TRIES):
            self._attempt(asked, keep=True)
            if asked.outcome == "done":
                return
            if asked.outcome == "refused":
                asked.outcome = "unknown" if unknown else "refused"
                return
            unknown = True
            self.world.scheduler.park(self.world.random.uniform(0.1, 5))

    def _attempt(self, asked: Request, *, keep: bool) -> None:
        """Send the request to one replica, and note the answer."""
        if asked.kind == "deploy":
            self.world.deploy(asked.name, asked.given["yaml"])
            asked.outcome = "done"
            return
        if asked.kind == "undeploy":
            self.world.deploy(asked.name, None)
            asked.outcome = "done"
            return
        replica = self.world.random.choice(self.world.replicas)
        future: SimulatedFuture[Any] = SimulatedFuture(self.world.scheduler)
        work = KINDS[asked.kind][1]

        def serve() -> None:
            request.set(asked.number)
            try:
                with request_budget(REQUEST_SECONDS):
                    future.set_result(work(replica.services, asked))
            except Died:
                future.set_exception(ConnectionResetError())
                raise
            except Exception as error:  # noqa: BLE001 - it is looked at below
                future.set_exception(error)

        self.world.scheduler.spawn(serve, replica.process)
        outcome, answer, error = self._answer(future, asked)
        if keep:
            asked.outcome, asked.answer, asked.error = outcome, answer, error
            asked.answered_at = self.world.scheduler.now

    def _answer(self, future: SimulatedFuture[Any], asked: Request) -> tuple[Outcome, Any, DliError | None]:
        try:
            return "done", future.result(timeout=300), None
        except (ConnectionResetError, TimeoutError):
            return "unknown", None, None
        except (NotLoaded, Replaced) as error:
            return ("done" if asked.kind == "register" else "refused"), None, error
        except Unavailable as error:
            return "unknown", None, error
        except InternalError as error:
            self.world.fault(
                f"{asked.number} ({asked.kind}) got an internal error: {error.title} {error.detail}"
            )
            return "unknown", None, error
        except DliError as error:
            return "refused", None, error
        except Exception as error:  # noqa: BLE001 - every one is a finding
            self.world.fault(f"{asked.number} ({asked.kind}) ended with {error!r}")
            return "unknown", None, None


def _register(services: Services, asked: Request) -> Any:
    candidate = SubmittedSpec(caller=CLIENT, yaml=asked.given["yaml"])
    return run_through(
        services.registration.register(
            asked.name, candidate, accept_override=True, wait_seconds=10, idempotency_key=asked.number
        ),
        services.work.clock,
    )


def _update(services: Services, asked: Request) -> Any:
    changes = ScheduleChanges(cron=asked.given["cron"])
    return run_through(
        services.changes.update(
            asked.name,
            changes,
            caller=CLIENT,
            source=SourceType.MANUAL,
            wait_seconds=0,
            idempotency_key=asked.number,
        ),
        services.work.clock,
    )


def _unregister(services: Services, asked: Request) -> Any:
    return run_through(
        services.changes.unregister(
            asked.name,
            caller=CLIENT,
            source=SourceType.MANUAL,
            accept_active=True,
            idempotency_key=asked.number,
        ),
        services.work.clock,
    )


def _pause(services: Services, asked: Request) -> Any:
    return services.pauses.pause(asked.name, idempotency_key=asked.number)


def _unpause(services: Services, asked: Request) -> Any:
    return services.pauses.unpause(asked.name, idempotency_key=asked.number)


def _run(services: Services, asked: Request) -> Any:
    wanted = RunRequest(dataset=asked.name, parameters={"execution_date": asked.given["start"]})
    return run_through(
        services.run_starter.start(wanted, requested_by="client", idempotency_key=asked.number),
        services.work.clock,
    )


def _stop(services: Services, asked: Request) -> Any:
    return run_through(
        services.run_stopper.stop(asked.given["id"], stopped_by="client", idempotency_key=asked.number),
        services.work.clock,
    )


def _retry(services: Services, asked: Request) -> Any:
    return run_through(
        services.run_retrier.retry(asked.given["id"], retried_by="client", idempotency_key=asked.number),
        services.work.clock,
    )


def _backfill(services: Services, asked: Request) -> Any:
    wanted = BackfillRequest(
        dataset=asked.name, start=asked.given["start"], end=asked.given["end"], parameters={}
    )
    return services.backfill_starter.start(wanted, requested_by="client", idempotency_key=asked.number)


def _stop_backfill(services: Services, asked: Request) -> Any:
    return run_through(
        services.backfill_stopper.stop(asked.given["id"], stopped_by="client", idempotency_key=asked.number),
        services.work.clock,
    )


def _look(services: Services, _: Request) -> Any:
    services.workflows.page()
    services.run_history.page(HistoryFilter(), limit=20)
    return services.backfill_lookup.page(limit=20)


def _nothing(_services: Services, _asked: Request) -> None:
    """Do nothing: CI writes to the store itself."""


KINDS: dict[str, tuple[int, Callable[[Services, Request], Any]]] = {
    "register": (5, _register),
    "update": (3, _update),
    "unregister": (2, _unregister),
    "pause": (1, _pause),
    "unpause": (3, _unpause),
    "run": (9, _run),
    "stop": (2, _stop),
    "retry": (2, _retry),
    "backfill": (6, _backfill),
    "stop_backfill": (1, _stop_backfill),
    "look": (2, _look),
    "deploy": (1, _nothing),
    "undeploy": (1, _nothing),
}
"""What clients ask for: how often, and how."""

KEYED = frozenset(KINDS) - {"look", "deploy", "undeploy"}
"""The kinds whose repetition with the same key changes nothing."""
