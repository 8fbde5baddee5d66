"""Every error that a user can meet, with its code, exit status and HTTP status.

The tree::

    DliError
    ├── InvalidUsage            wrong options or arguments
    │   ├── InvalidSettings     a missing or wrong setting
    │   ├── MissingDriver       an engine's driver is not installed
    │   ├── InvalidName         not a dataset's name
    │   ├── InvalidKey          no store can have an object under this key
    │   ├── InvalidSpec         a Dataset Spec that can't be used
    │   ├── InvalidTemplate     SQL that can't be rendered
    │   └── InvalidParameters   a run's parameters
    │       ├── MissingParameter
    │       └── UnknownParameter
    ├── NotFound
    │   ├── DatasetNotFound
    │   ├── RunNotFound
    │   └── BackfillNotFound
    ├── Refused                 understood, and not allowed as things stand
    │   ├── ManagedByCode
    │   ├── Overridden
    │   ├── ExistsInCode        a manual spec under a name that code has
    │   ├── TakenOver           another DAG has the dataset's id
    │   ├── Paused
    │   ├── NotPaused
    │   ├── RunsActive          a dataset is to go while runs of it are active
    │   ├── BackfillActive      a dataset has a backfill that goes on
    │   ├── Conflict            someone else changed it first
    │   ├── Unauthorized
    │   └── CrossOrigin         an order that another site's page sent
    ├── Unavailable
    │   ├── ServerUnreachable
    │   ├── AirflowUnreachable
    │   ├── StoreUnreachable
    │   │   └── UnreadableObject  one object can't be read; the store answers
    │   ├── EngineUnreachable
    │   ├── ServerBusy          too many requests of one kind wait already
    │   └── NotLoaded           Airflow has not loaded the dataset's DAG
    ├── RunFailed               a dataset's SQL failed on this machine
    └── InternalError           a mistake in this program
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dataspec.problems import Problem


class DliError(Exception):
    """The base of all errors; raised only as one of its kinds.

    Attributes:
        code: Stable name of the error, for programs.
        exit_status: What a command ends with (specification 20.4).
        http_status: What the API answers with (specification 19.9).
        title: One line, the ``title`` of the API's problem details.
        text: What the command line prints after ``Error: ``; the title unless the
            specification shows another wording.
        detail: Further lines: where it happened and what to do next.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, title: str, *, detail: str | None = None, text: str | None = None) -> None:
        super().__init__(title)
        self.title = title
        self.text = text or title
        self.detail = detail

    def extras(self) -> dict[str, Any]:
        """Return what the API's problem details carry beside title and detail."""
        return {}


class InvalidUsage(DliError):
    """A request or a command is wrong in itself."""

    code = "invalid_usage"
    exit_status = 2
    http_status = 400


class InvalidSettings(InvalidUsage):
    """A setting is missing or wrong."""

    code = "invalid_settings"


class MissingDriver(InvalidUsage):
    """The driver of a connection's engine is not installed."""

    code = "missing_driver"

    def __init__(self, connection: str, engine: str, extra: str) -> None:
        super().__init__(
            f"The connection '{connection}' is {engine}, whose driver is not installed.",
            detail=f"Install it with: pip install 'dli[{extra}]'",
        )


class InvalidName(InvalidUsage):
    """A dataset's name breaks the rules of specification 3.1 and 3.2."""

    code = "invalid_name"
    http_status = 422


class InvalidKey(InvalidUsage, ValueError):
    """No store can have an object under this key (``docs/architecture.md``, "Keys")."""

    code = "invalid_key"
    http_status = 422

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(
            f"'{key}' is not a key, the path of an object in a store.",
            detail=f"{reason[:1].upper()}{reason[1:]}.",
        )


class InvalidSpec(InvalidUsage):
    """A Dataset Spec can't be used; carries every problem found."""

    code = "invalid_spec"
    http_status = 422

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        title = "Invalid Dataset Spec." if count == 1 else f"Invalid Dataset Spec ({count} problems)."
        super().__init__(title, detail="\n".join(str(problem) for problem in self.problems))

    def extras(self) -> dict[str, Any]:
        """Return the problems, each with file, line and column."""
        return {"problems": [problem.to_json() for problem in self.problems]}


class InvalidTemplate(InvalidUsage):
    """SQL can't be rendered with these parameters, or parsed; carries the place in the user's file."""

    code = "invalid_template"
    http_status = 422

    def __init__(self, problem: Problem, title: str = "The SQL can't be rendered.") -> None:
        self.problem = problem
        super().__init__(title, detail=str(problem))

    def extras(self) -> dict[str, Any]:
        """Return the problem with file, line and column."""
        return {"problems": [self.problem.to_json()]}


class InvalidParameters(InvalidUsage):
    """A run's parameters don't fit the spec (specification 8.1)."""

    code = "invalid_parameter"
    http_status = 422


class MissingParameter(InvalidParameters):
    """A required parameter was not given (specification 8.3)."""

    code = "missing_parameter"

    def __init__(self, name: str) -> None:
        self.parameter = name
        super().__init__(f"Missing required parameter: {name}", detail=f"Add: -p {name}=VALUE")


class UnknownParameter(InvalidParameters):
    """A parameter was given that the spec does not define (specification 8.2)."""

    code = "unknown_parameter"

    def __init__(self, name: str, allowed: Mapping[str, bool], *, hint: str | None = None) -> None:
        """Make the error; ``allowed`` says of each defined parameter whether it is required."""
        self.parameter = name
        named = ", ".join(allowed) or "none"
        described = _described(allowed.items()) or "none"
        super().__init__(
            f"Unknown parameter '{name}'. Allowed: {named}",
            text=f"Unknown parameter '{name}'.\nAllowed parameters: {described}",
            detail=hint,
        )


def _described(allowed: Iterable[tuple[str, bool]]) -> str:
    return ", ".join(f"{name} ({'required' if required else 'optional'})" for name, required in allowed)


class NotFound(DliError):
    """The thing that was named does not exist."""

    code = "not_found"
    exit_status = 3
    http_status = 404


class DatasetNotFound(NotFound):
    """No spec of that name is registered (specification 20.14)."""

    code = "dataset_not_found"

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        self.dataset = name
        detail = f"'{name}' is not registered." + (f" {hint}" if hint else "")
        super().__init__("Dataset not found. Register first: dli dataset register", detail=detail)


class RunNotFound(NotFound):
    """No run has that id."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        of_backfills = "those of a backfill with: dli workflow history --run-type backfill"
        super().__init__(
            f"Run not found: {run_id}", detail=f"List runs with: dli workflow history; {of_backfills}"
        )


class BackfillNotFound(NotFound):
    """No backfill has that id."""

    code = "backfill_not_found"

    def __init__(self, backfill_id: str) -> None:
        self.backfill_id = backfill_id
        super().__init__(
            f"Backfill not found: {backfill_id}", detail="Its runs are among: dli workflow history"
        )


class Refused(DliError):
    """Understood, and not allowed as things stand."""

    code = "refused"
    exit_status = 4
    http_status = 409


class ManagedByCode(Refused):
    """A dataset that code manages can't be changed here (specification 16.6)."""

    code = "managed_by_code"

    def __init__(self) -> None:
        super().__init__(
            "This dataset is managed by Code. Modify via Git.",
            text="This dataset is managed by Code (GitOps).\n"
            "Modify the YAML in Git and deploy via CI/CD.\n"
            "Only pause/unpause operations are allowed via CLI.",
        )


class Overridden(Refused):
    """A manual spec that code overrides is not run (specification 7.9)."""

    code = "overridden"

    def __init__(self) -> None:
        super().__init__("This dataset is overridden by Code. Use the Code version.")


class ExistsInCode(Refused):
    """A manual spec was sent under a name that code has, without consent (specification 16.4)."""

    code = "exists_in_code"

    def __init__(self) -> None:
        super().__init__(
            "This dataset already exists in Code path.",
            detail="Your Manual registration will be overridden by Code.\n"
            "The Manual file will be kept but inactive.\n"
            "Register it all the same with --yes.",
        )


class TakenOver(Refused):
    """Another DAG has a dataset's id, so that Airflow may run its code in the dataset's place."""

    code = "taken_over"

    def __init__(self, name: str, place: str, *, lately: str | None = None) -> None:
        """Make the error.

        Args:
            name: The dataset.
            place: The other DAG's file, and its bundle where it has one.
            lately: When it was seen and until when that counts, where the DAG is the dataset's at this moment.
        """
        self.place = place
        super().__init__(
            f"Another DAG has the id of the dataset '{name}': {place}.",
            detail=f"{lately or 'Airflow runs that DAG under this id, in place of the dataset.'}\n"
            "Rename that DAG, or give the dataset another name. Nothing was started or changed in Airflow.",
        )

    def extras(self) -> dict[str, Any]:
        """Return where the other DAG comes from."""
        return {"taken_over_by": self.place}


class Paused(Refused):
    """A run was asked of a paused dataset; Airflow would leave it queued for ever (specification 7.7)."""

    code = "paused"

    def __init__(self, name: str) -> None:
        super().__init__(f"This dataset is paused. Resume it first: dli workflow unpause {name}")


class NotPaused(Refused):
    """There was no pause to clear (specification 7.4)."""

    code = "not_paused"


class RunsActive(Refused):
    """A dataset is to be unregistered while runs of it are active (specification 16.8)."""

    code = "runs_active"

    def __init__(self, runs: Sequence[str]) -> None:
        """Make the error; ``runs`` are their ids."""
        self.runs = tuple(runs)
        listed = "\n".join(self.runs)
        super().__init__(
            "Runs of this dataset are active.",
            detail=f"{listed}\nUnregister it with --yes to let them end, or with --stop to end them.",
        )

    def extras(self) -> dict[str, Any]:
        """Return the ids of the runs."""
        return {"runs": list(self.runs)}


class BackfillActive(Refused):
    """A dataset has one backfill at a time (specification 14.6)."""

    code = "backfill_active"

    def __init__(self, backfill_id: str) -> None:
        self.backfill_id = backfill_id
        super().__init__(
            f"A backfill of this dataset is under way: {backfill_id}",
            detail=f"Follow it with: dli workflow status {backfill_id} --wait\n"
            f"Stop it with:   dli workflow stop {backfill_id}",
        )

    def extras(self) -> dict[str, Any]:
        """Return the backfill's id."""
        return {"backfill_id": self.backfill_id}


class Conflict(Refused):
    """The thing changed under the caller's hands (specification 5.10)."""

    code = "conflict"
    http_status = 412


class Unauthorized(Refused):
    """The caller is not known, or not allowed."""

    code = "unauthorized"
    http_status = 401


class CrossOrigin(Refused):
    """An order came from another site's page, or from no page at all."""

    code = "cross_origin"
    http_status = 403

    def __init__(self) -> None:
        super().__init__(
            "This order did not come from a page of this server.",
            detail="Open the page here and press the button again; programs use the HTTP API.",
        )


class Unavailable(DliError):
    """Something that is needed does not answer."""

    code = "unavailable"
    exit_status = 5
    http_status = 503


class ServerUnreachable(Unavailable):
    """Basecamp does not answer (specification 20.13)."""

    code = "server_unreachable"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__("Cannot connect to server. Check your connection settings.", detail=detail)


class AirflowUnreachable(Unavailable):
    """Airflow does not answer Basecamp, or answers with an error of its own."""

    code = "airflow_unreachable"


class StoreUnreachable(Unavailable):
    """The store does not answer, or refuses the credentials."""

    code = "store_unreachable"


class UnreadableObject(StoreUnreachable):
    """One object can't be read, such as a file without the right to; the store itself answers."""

    code = "unreadable_object"

    def __init__(self, title: str, reason: str, *, detail: str) -> None:
        self.reason = reason
        super().__init__(title, detail=detail)


class EngineUnreachable(Unavailable):
    """The engine of a connection can't be reached, or does not let one in."""

    code = "engine_unreachable"


class ServerBusy(Unavailable):
    """The server works on as many requests of a kind as it can; others wait already (specification 18.14)."""

    code = "server_busy"

    def __init__(self) -> None:
        super().__init__(
            "The server is busy checking other people's SQL.", detail="Try again in a few seconds."
        )


class NotLoaded(Unavailable):
    """Airflow has not loaded the dataset's DAG (specification 16.2)."""

    code = "not_loaded"
    http_status = 504


class RunFailed(DliError):
    """A dataset's SQL failed on this machine."""

    code = "run_failed"


class InternalError(DliError):
    """A mistake in this program; please report it."""

    code = "internal_error"
