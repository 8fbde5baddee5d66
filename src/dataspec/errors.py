"""Define every error that users see, with its code, exit status and HTTP status.

The tree::

    DliError
    ├── InvalidUsage            invalid options or arguments
    │   ├── InvalidSettings     a missing or invalid setting
    │   ├── MissingDriver       an engine's driver is not installed
    │   ├── InvalidName         an invalid dataset name
    │   ├── InvalidKey          an invalid key of an object
    │   ├── InvalidSpec         an invalid Dataset Spec
    │   ├── InvalidTemplate     SQL that can't be rendered
    │   ├── AmbiguousVersion    several versions begin with the given digits
    │   └── InvalidParameters   a run's parameters
    │       ├── MissingParameter
    │       └── UnknownParameter
    ├── NotFound
    │   ├── DatasetNotFound
    │   ├── VersionNotFound
    │   ├── RunNotFound
    │   ├── BackfillNotFound
    │   └── BackfillPlanLost        its plan was damaged
    ├── Refused                 not allowed in the current state
    │   ├── ManagedByCode
    │   ├── Overridden
    │   ├── ExistsInCode        a manual spec whose name exists in code
    │   ├── TakenOver           another DAG has the dataset's id
    │   ├── Paused
    │   ├── NotPaused
    │   ├── RunsActive          unregister while runs are active
    │   ├── BackfillActive      the dataset has an active backfill
    │   ├── UnknownUpstream     a spec depends on a dataset that is not registered
    │   ├── DependencyCycle     a spec would depend on itself through others
    │   ├── NoUpstreamClock     the upstream datasets give a schedule "@upstream" no clock
    │   ├── TableTaken          a spec's table is another dataset's
    │   ├── BreaksDependents    other datasets would wait in vain
    │   ├── Conflict            changed by another request
    │   ├── Replaced            stored, then changed again before Airflow had loaded it
    │   ├── Unauthorized        no or an invalid sign-in
    │   ├── Forbidden           a role, or a connection's teams, do not allow it
    │   ├── NoSignIn            a server without sign-in was asked for one
    │   └── CrossOrigin         a form that another site's page sent
    ├── Unavailable
    │   ├── ServerUnreachable
    │   ├── AirflowUnreachable
    │   ├── StoreUnreachable
    │   │   └── UnreadableObject  an unreadable object in a reachable store
    │   │       ├── NewerFormat     a newer version of this program wrote it
    │   │       └── CorruptObject   its content is damaged
    │   ├── EngineUnreachable
    │   ├── ServerBusy          too many requests of one kind
    │   ├── TooManyRequests     too many attempts to sign in
    │   └── NotLoaded           Airflow has not loaded the dataset's DAG
    ├── RunFailed               a dataset's SQL failed on this machine
    └── InternalError           a bug in this program
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dataspec.distribution import install_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dataspec.problems import Problem


_SHOWN = 10
"""Maximum number of versions that an error names."""


class DliError(Exception):
    """The base class of all errors; only subclasses are raised.

    Attributes:
        code: Stable identifier of the error, for programs.
        exit_status: Exit status of a command (specification 20.4).
        http_status: HTTP status of the API (specification 19.9).
        title: One line, the ``title`` of the API's problem details.
        text: The text that the command line prints after ``Error: ``; the title unless the
            specification prescribes another wording.
        detail: Further lines: the place, and the next step.
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
        """Return the additional members of the API's problem details."""
        return {}


class InvalidUsage(DliError):
    """A request or a command is invalid."""

    code = "invalid_usage"
    exit_status = 2
    http_status = 400


class InvalidSettings(InvalidUsage):
    """A setting is missing or invalid."""

    code = "invalid_settings"


class MissingDriver(InvalidUsage):
    """The driver of a connection's engine is not installed."""

    code = "missing_driver"

    def __init__(self, connection: str, engine: str, extra: str) -> None:
        super().__init__(
            f"The connection '{connection}' is {engine}, whose driver is not installed.",
            detail=f"Install it with: {install_command(extra)}",
        )


class InvalidName(InvalidUsage):
    """A dataset's name breaks the rules of specification 3.1 and 3.2."""

    code = "invalid_name"
    http_status = 422


class InvalidKey(InvalidUsage, ValueError):
    """An object's key is invalid (``docs/architecture.md``, "Keys")."""

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
    """A Dataset Spec is invalid; carries all problems."""

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
    """SQL can't be rendered with these parameters, or parsed; carries the problem with its place."""

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
        """Initialize the error; ``allowed`` maps each declared parameter to whether it is required."""
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


class AmbiguousVersion(InvalidUsage):
    """Several versions of a dataset begin with these digits."""

    code = "ambiguous_version"

    def __init__(self, name: str, version: str, matching: Sequence[str]) -> None:
        shown = ", ".join(matching[:_SHOWN]) + (", …" if len(matching) > _SHOWN else "")
        title = f"Several versions of '{name}' begin with '{version}'."
        super().__init__(title, detail=f"Give more digits of one of them: {shown}")


class NotFound(DliError):
    """The named object does not exist."""

    code = "not_found"
    exit_status = 3
    http_status = 404


class DatasetNotFound(NotFound):
    """No spec of that name is registered (specification 20.14)."""

    code = "dataset_not_found"

    def __init__(self, name: str, *, hint: str | None = None, is_suggestion: bool = False) -> None:
        """Initialize the error; ``is_suggestion`` if the hint names another dataset."""
        self.dataset = name
        self.is_suggestion = is_suggestion
        detail = f"'{name}' is not registered." + (f" {hint}" if hint else "")
        super().__init__("Dataset not found. Register first: dli dataset register", detail=detail)


class VersionNotFound(NotFound):
    """A dataset has no such version."""

    code = "version_not_found"

    def __init__(self, name: str, version: str, known: Sequence[str]) -> None:
        """Initialize the error; ``known`` has the hashes of the versions that there are, the newest first."""
        shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
        there = f"Its versions, the newest first: {shown}" if known else "None of its versions is kept."
        listed = f"List them with: dli dataset versions {name}"
        super().__init__(f"'{name}' has no version '{version}'.", detail=f"{there}\n{listed}")


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


class BackfillPlanLost(NotFound):
    """The plan of that backfill may be one that was damaged (specification 14.17)."""

    code = "backfill_plan_lost"

    def __init__(self, backfill_id: str, damaged: str) -> None:
        super().__init__(f"Backfill not found: {backfill_id}", detail=damaged)


class Refused(DliError):
    """The request is valid, but not allowed in the current state."""

    code = "refused"
    exit_status = 4
    http_status = 409


class ManagedByCode(Refused):
    """A dataset from code can't be changed through the API (specification 16.6)."""

    code = "managed_by_code"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(
            "This dataset is managed by Code. Modify via Git.",
            detail=detail,
            text="This dataset is managed by Code (GitOps).\n"
            "Modify the YAML in Git and deploy via CI/CD.\n"
            "Only pause/unpause operations are allowed via CLI.",
        )


REVERT = "To go back to an earlier version: git revert COMMIT, then deploy with: dli code publish"
"""The next step of who wants to roll back a dataset of code."""


class Overridden(Refused):
    """A manual spec that code overrides can't be run (specification 7.9)."""

    code = "overridden"

    def __init__(self) -> None:
        super().__init__("This dataset is overridden by Code. Use the Code version.")


class ExistsInCode(Refused):
    """A manual spec was registered under a name that exists in code, without confirmation (specification 16.4)."""

    code = "exists_in_code"

    def __init__(self) -> None:
        super().__init__(
            "This dataset already exists in Code path.",
            detail="Your Manual registration will be overridden by Code.\n"
            "The Manual file will be kept but inactive.\n"
            "Register it all the same with --yes.",
        )


class TakenOver(Refused):
    """Another DAG has the dataset's id, so Airflow may run that DAG instead of the dataset."""

    code = "taken_over"

    def __init__(self, name: str, place: str, *, lately: str | None = None) -> None:
        """Initialize the error.

        Args:
            name: The dataset.
            place: The other DAG's file, and its bundle where it has one.
            lately: When the other DAG was last seen and until when this counts, if it is not there now.
        """
        self.place = place
        super().__init__(
            f"Another DAG has the id of the dataset '{name}': {place}.",
            detail=f"{lately or 'Airflow runs that DAG under this id, in place of the dataset.'}\n"
            "Rename that DAG, or give the dataset another name. Nothing was started or changed in Airflow.",
        )

    def extras(self) -> dict[str, Any]:
        """Return the place of the other DAG."""
        return {"taken_over_by": self.place}


class Paused(Refused):
    """A run of a paused dataset was requested; Airflow would never start it (specification 7.7)."""

    code = "paused"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This dataset is paused. Resume it first: dli workflow unpause {name}",
            detail="For runs by hand alone, resume it and set 'enabled: false' under 'schedule' in its spec.",
        )


class NotPaused(Refused):
    """The dataset is not paused (specification 7.4)."""

    code = "not_paused"


class RunsActive(Refused):
    """A dataset can't be unregistered while its runs are active (specification 16.8)."""

    code = "runs_active"

    def __init__(self, runs: Sequence[str]) -> None:
        """Initialize the error; ``runs`` are the ids of the active runs."""
        self.runs = tuple(runs)
        listed = "\n".join(self.runs)
        super().__init__(
            "Runs of this dataset are active.",
            detail=f"{listed}\nUnregister it with --yes to let them end, or with --stop to end them.",
        )

    def extras(self) -> dict[str, Any]:
        """Return the ids of the runs."""
        return {"runs": list(self.runs)}


class UnknownUpstream(Refused):
    """A spec depends on datasets that are not registered (specification 32.10)."""

    code = "unknown_upstream"

    def __init__(self, name: str, unknown: Sequence[str], *, hint: str | None = None) -> None:
        listed = ", ".join(f"'{other}'" for other in unknown)
        verb = "is" if len(unknown) == 1 else "are"
        next_step = "Register what it depends on first, or remove it from 'depends_on'."
        super().__init__(
            f"'{name}' depends on {listed}, which {verb} not registered.",
            detail=" ".join(filter(None, (hint, next_step))),
        )


class DependencyCycle(Refused):
    """A spec would depend on itself through other datasets (specification 32.11)."""

    code = "dependency_cycle"

    def __init__(self, cycle: Sequence[str]) -> None:
        super().__init__(
            f"These datasets would depend on each other: {' → '.join((*cycle, cycle[0]))}.",
            detail="None of them could be built first. Remove one of the steps from 'depends_on'.",
        )


class NoUpstreamClock(Refused):
    """A spec follows its upstream datasets, which give it no clock (specification 32.12)."""

    code = "no_upstream_clock"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"The schedule '@upstream' of '{name}' gives no clock: {reason}.",
            detail="Give an upstream dataset a schedule, or write a cron expression.",
        )


class TableTaken(Refused):
    """A spec's table is the one of another dataset (specification 35.22)."""

    code = "table_taken"

    def __init__(self, name: str, table: str, builder: str | None) -> None:
        """Initialize the error.

        Args:
            name: The dataset that is registered.
            table: Its table.
            builder: The other dataset; None for one that the caller may not see.
        """
        super().__init__(
            f"'{name}' would build {table}, and so does {repr(builder) if builder else 'another dataset'}.",
            detail="Each table has one dataset: give another name under 'materialization', 'table'.",
        )


class BreaksDependents(Refused):
    """A change leaves other datasets without what they wait for (specification 32.13)."""

    code = "breaks_dependents"

    def __init__(self, name: str, told: Sequence[str], datasets: Sequence[str], *, removed: bool) -> None:
        """Initialize the error.

        Args:
            name: The dataset that is changed.
            told: A line for each of the others, with the reason.
            datasets: Their names.
            removed: Whether the dataset would be removed.
        """
        self.datasets = tuple(datasets)
        change = "Without" if removed else "With this change of"
        super().__init__(
            f"{change} '{name}', other datasets would wait in vain.",
            detail="\n".join([*told, "Change them first, or confirm with --yes."]),
        )

    def extras(self) -> dict[str, Any]:
        """Return the names of the other datasets."""
        return {"datasets": list(self.datasets)}


class BackfillActive(Refused):
    """A dataset has one backfill at a time (specification 14.6)."""

    code = "backfill_active"

    def __init__(self, backfill_id: str, dataset: str | None = None) -> None:
        self.backfill_id = backfill_id
        which = f"'{dataset}'" if dataset else "this dataset"
        super().__init__(
            f"A backfill of {which} is under way: {backfill_id}",
            detail=f"Follow it with: dli workflow status {backfill_id} --wait\n"
            f"Stop it with:   dli workflow stop {backfill_id}",
        )

    def extras(self) -> dict[str, Any]:
        """Return the backfill's id."""
        return {"backfill_id": self.backfill_id}


class Conflict(Refused):
    """Another request changed the object first (specification 5.10); 412 if the request named a version."""

    code = "conflict"


class Replaced(Refused):
    """A stored version was changed again, or removed, while it waited for Airflow (specification 16.11)."""

    code = "replaced"
    http_status = 409

    def __init__(self, name: str, key: str, *, by: str | None) -> None:
        """Initialize the error.

        Args:
            name: The dataset.
            key: The spec's key in the store.
            by: The version that is registered now; None when the dataset was removed.
        """
        if by is None:
            title = "The dataset was removed while Airflow loaded it."
            detail = f"{key} is not stored any more. Register '{name}' again if it is still wanted."
        else:
            title = "The dataset was changed again while Airflow loaded this version."
            detail = f"{key} is now the version {by}. See it with: dli dataset show {name}"
        super().__init__(title, detail=detail)


class Unauthorized(Refused):
    """The caller is unknown: no sign-in, or an invalid, expired or revoked one."""

    code = "unauthorized"
    http_status = 401

    def __init__(self, title: str, *, detail: str | None = None, invalid_token: bool = False) -> None:
        """Initialize the error; ``invalid_token`` if the request had a bearer token (RFC 6750)."""
        self.invalid_token = invalid_token
        super().__init__(title, detail=detail)


class Forbidden(Refused):
    """The caller's roles, or the teams of a connection, do not allow it (specification 26.20, 26.80)."""

    code = "forbidden"
    http_status = 403


class NoSignIn(Refused):
    """The server has no sign-in: there is nothing to sign in to."""

    code = "no_sign_in"

    def __init__(self) -> None:
        super().__init__("This server has no sign-in: nothing to do.")


class CrossOrigin(Refused):
    """A form was not sent by a page of this server."""

    code = "cross_origin"
    http_status = 403

    def __init__(self) -> None:
        super().__init__(
            "This form was not sent by a page of this server.",
            detail="Open the page on this server and press the button again; programs use the HTTP API. "
            "Behind a proxy, BASECAMP_PUBLIC_URL on the server must be the address that users open.",
        )


class Unavailable(DliError):
    """A required service does not answer."""

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


DAMAGED = "Its content is damaged. Restore the object from a backup, or remove it."


class UnreadableObject(StoreUnreachable):
    """One object can't be read, such as a file without read permission; the store itself answers."""

    code = "unreadable_object"

    def __init__(self, title: str, reason: str, *, detail: str) -> None:
        self.reason = reason
        super().__init__(title, detail=detail)


class NewerFormat(UnreadableObject):
    """A newer version of this program wrote an object; this version leaves it unchanged (specification 5.21)."""

    code = "newer_format"

    def __init__(self, key: str, found: int, newest: int) -> None:
        self.key = key
        super().__init__(
            f"'{key}' in the store was written by a newer version of Basecamp.",
            f"it has format {found}",
            detail=f"It has format {found}; this version reads format {newest} at most and leaves the object "
            "unchanged. Update this program, or ask a replica that is up to date.",
        )


class CorruptObject(UnreadableObject):
    """An object's content is damaged (specification 5.22)."""

    code = "corrupt_object"

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        super().__init__(f"'{key}' in the store can't be read: {reason}.", reason, detail=DAMAGED)


class EngineUnreachable(Unavailable):
    """A connection's engine is unreachable, or refuses the credentials."""

    code = "engine_unreachable"


class ServerBusy(Unavailable):
    """The server's limit of requests of one kind is reached, and its queue is full (specification 18.14)."""

    code = "server_busy"

    def __init__(self) -> None:
        super().__init__(
            "The server is busy checking other people's SQL.", detail="Try again in a few seconds."
        )


class TooManyRequests(Unavailable):
    """A limit of attempts to sign in is reached (specification 26.61)."""

    code = "too_many_requests"
    http_status = 429

    def __init__(self, title: str) -> None:
        super().__init__(title, detail="Try again in ten minutes.")


class NotLoaded(Unavailable):
    """Airflow has not loaded the dataset's DAG (specification 16.2)."""

    code = "not_loaded"
    http_status = 504


class RunFailed(DliError):
    """A dataset's SQL failed in a local run."""

    code = "run_failed"


class InternalError(DliError):
    """A bug in this program; please report it."""

    code = "internal_error"
