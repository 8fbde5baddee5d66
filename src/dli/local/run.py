"""Run a dataset's SQL on this machine, with the code that Airflow's machines use (specification 23.1)."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dataspec.engines.session import SqlSession, StatementFailed, one_line, place_of
from dataspec.errors import InvalidUsage, RunFailed
from dataspec.spec.dialects import dialect_of_connection
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.identity import spec_hash
from dataspec.spec.run_values import resolve_run, with_absolute_date
from dataspec.spec.sql_texts import sql_texts
from dataspec.sql.checks.findings import ChecksFailed
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.rendering import THERE, RenderedStatement, RunTable, render_statements
from dli.local.engines.opening import open_engine
from dli.output.times import relative_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dataspec.engines.check_runner import CheckRunner
    from dataspec.engines.materializer import Materializer
    from dataspec.engines.results import Result
    from dataspec.engines.session import Rewrite, StatementListener
    from dataspec.models import CheckResult, RunPartition
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.run_values import RunValues
    from dli.config.settings import Settings
    from dli.local.engines.driver import DriverEngine
    from dli.local.own_schema import OwnSchema
    from dli.project.project import LocalDataset

_POINTER = re.compile(r" LINE \d+: .*$")
"""The line in DuckDB's messages, which the position in the user's file replaces."""

_WRITTEN = re.compile(
    r"""(?:\s|--[^\n]*\n|/\*.*?\*/)*
    (?:insert\s+(?:or\s+\w+\s+)?into|insert\s+overwrite(?:\s+table)?|merge\s+into
      |create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?table(?:\s+if\s+not\s+exists)?)\s+
    (?P<table>(?:"[^"]+"|`[^`]+`|[^\s"`(.;]+)(?:\.(?:"[^"]+"|`[^`]+`|[^\s"`(.;]+))*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""The start of a statement that writes a table. A SQL parser takes longer to load than most runs last."""

_THREE_PARTS = re.compile(r"""[\w\-"`]\.["`]?[\w\-]+["`]?\.["`]?\w""")
"""A name with a catalog, or what looks like one."""
_ATTACHES = re.compile(r"\battach\b", re.IGNORECASE)
_CATALOG = re.compile(r"[\w\-]+")

LOG_FOLDER = ".dli"
"""The project's folder for local state, ignored by Git."""

SAMPLE = "first rows"
"""The name of the statement that reads the first rows of the written table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """A local run before it starts: its spec, parameters and engine."""

    dataset: LocalDataset
    spec: DatasetSpec
    run_values: RunValues
    engine: DriverEngine
    dialect: str | None
    adopt: bool = False
    """Whether the run takes over a table that the dataset has not built."""
    full_refresh: bool = False
    """Whether the run builds the table anew."""
    own: OwnSchema | None = None
    """The developer's own schema, in which the spec builds its table; None to build the real one."""

    @property
    def refresh(self) -> FullRefresh | None:
        """The run's part in a full refresh: all of it, or none."""
        return FullRefresh() if self.full_refresh else None

    @property
    def partition(self) -> RunPartition | None:
        """The partition as JSON shows it."""
        return self.run_values.run_partition

    @property
    def partition_label(self) -> str | None:
        """The partition's name as tables show it."""
        return self.run_values.partition_label

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of the run."""
        return self.run_values.parameters

    @property
    def warnings(self) -> list[str]:
        """Messages about the partition."""
        return self.run_values.warnings

    @property
    def values(self) -> Mapping[str, Any]:
        """The variables of the SQL template."""
        return self.run_values.template

    @property
    def connected(self) -> str | None:
        """The dialect of the connection itself; the spec may name another."""
        return dialect_of_connection(self.engine.conn_type)

    @classmethod
    def of(
        cls,
        dataset: LocalDataset,
        given: Mapping[str, Any],
        settings: Settings,
        tell: Callable[[str], None],
        engine: DriverEngine | None = None,
        *,
        adopt: bool = False,
        full_refresh: bool = False,
    ) -> RunPlan:
        """Return the plan of a run.

        Args:
            dataset: The dataset.
            given: The parameters as the user gave them.
            settings: They define the connection.
            tell: Called with a message: which date a relative one means, and that another process holds the DuckDB file.
            engine: The connection's engine, if it was opened early.
            adopt: Whether the run takes over a table that the dataset has not built.
            full_refresh: Whether the run builds the table anew.

        Raises:
            InvalidSpec: When the spec is invalid.
            InvalidParameters: When the parameters don't fit it.
            InvalidSettings: When its connection is not defined.
            InvalidUsage: When one run can't build the table anew, or the dataset can't be built in the developer's own
                schema.
        """
        spec = dataset.checked()
        own = _own_schema(settings)
        if own is not None:
            spec = own.moved(spec)
        values = resolve_run(spec, with_absolute_date(spec, given, datetime.now(UTC)))
        if text := relative_date(given, values.run_partition):
            tell(text)
        if engine is None or engine.name != spec.execution.connection:
            engine = open_engine(spec.execution.connection, settings, tell)
        plan = cls(
            dataset=dataset,
            spec=spec,
            run_values=values,
            engine=engine,
            dialect=spec.execution.dialect or dialect_of_connection(engine.conn_type),
            adopt=adopt,
            full_refresh=full_refresh,
            own=own,
        )
        plan.materializer()  # refuses a full refresh before anything runs
        return plan

    def rewrite(self) -> Rewrite:
        """Return what lets the statements read the tables in the developer's own schema, if there is one."""
        if self.own is None:
            return lambda statement, _: statement
        from dli.local.own_schema import OwnReads

        return OwnReads(self.own, self.dialect, self.connected, self.dataset.file).rewritten

    @property
    def leaves_nothing(self) -> bool:
        """Whether the run leaves nothing on the engine but its table: no setting, no attached database."""
        spec = self.spec
        is_alone = spec.materialization is not None and not (spec.pre_statements or spec.post_statements)
        return is_alone and not self.catalogs()

    def statements(self, table: RunTable = THERE) -> list[RenderedStatement]:
        """Return the rendered statements.

        Args:
            table: The table of a materialization, as the run sees it.

        Raises:
            InvalidTemplate: With the position in the user's file.
        """
        return render_statements(
            self.spec,
            self.dataset.sql,
            self.values,
            dialect=self.dialect,
            file=self.dataset.file,
            yaml=self.dataset.yaml,
            connected=self.connected,
            table=table,
        )

    def catalogs(self) -> list[str]:
        """Return the catalogs of the tables that the SQL names by three parts; none if it attaches catalogs itself."""
        texts = (self.spec.target or "", *(text.sql for text in sql_texts(self.spec, self.dataset.sql)))
        if not any(map(_THREE_PARTS.search, texts)) or any(map(_ATTACHES.search, texts)):
            return []
        from dataspec.sql.lineage.dataset_lineage import lineage_of  # loads a SQL parser

        found = lineage_of(self.spec, self.dataset.sql, dialect=self.connected)
        names = (use.name.split(".") for use in (*found.reads, *found.writes))
        return sorted({parts[0] for parts in names if len(parts) > 2 and _CATALOG.fullmatch(parts[0])})  # noqa: PLR2004

    def checks(self) -> CheckRunner | None:
        """Return what checks the rows; None for a spec without checks.

        Raises:
            InvalidTemplate: With the position in the user's file.
        """
        if not self.spec.checks_rows:
            return None
        from dataspec.engines.check_runner import CheckRunner

        return CheckRunner.of(
            self.spec,
            self.dataset.sql,
            self.values,
            dialect=self.dialect,
            file=self.dataset.file,
            yaml=self.dataset.yaml,
            connected=self.connected,
        )

    def materializer(self, checks: CheckRunner | None = None) -> Materializer | None:
        """Return what runs the query in place of the session; None for a spec without a materialization.

        Args:
            checks: Checks the rows before they are published.

        Raises:
            InvalidUsage: When one run can't build the table anew.
        """
        if self.spec.materialization is None and not self.full_refresh:
            return None
        from dataspec.engines.materializer import Materializer

        try:
            return Materializer.of(
                self.spec,
                self.run_values,
                self.connected,
                adopt=self.adopt,
                refresh=self.refresh,
                checks=checks,
            )
        except MaterializationFailed as failed:
            title = f"The dataset '{self.spec.name}' can't run on {self.engine.place}."
            raise InvalidUsage(title, detail=str(failed)) from failed


def _own_schema(settings: Settings) -> OwnSchema | None:
    if settings.schema is None:
        return None
    from dli.local.own_schema import OwnSchema

    return OwnSchema.of(settings)


@dataclass(slots=True, kw_only=True)
class LocalRun:
    """A local run and its results."""

    plan: RunPlan
    seconds: float = 0.0
    results: list[tuple[RenderedStatement, float, Result]] = field(default_factory=list)
    checks: tuple[CheckResult, ...] = ()
    """What the checks found; none before they ran."""

    @property
    def check_warnings(self) -> list[str]:
        """What checks found that don't fail the run."""
        return [check.message for check in self.checks if check.message and check.status == "warned"]

    @property
    def rows_written(self) -> int | None:
        """The number of rows that the query wrote; None if the engine does not report it."""
        counts = [
            result.affected
            for statement, _, result in self.results
            if statement.kind == "query" and result.affected is not None
        ]
        return sum(counts) if counts else None

    @property
    def answer(self) -> Result | None:
        """The rows to show: the query's own, else the first rows of the table that it wrote."""
        answers = [
            result
            for statement, _, result in self.results
            if result.columns and (statement.kind == "query" or statement.name == SAMPLE)
        ]
        return answers[-1] if answers else None


class Runner:
    """Run a plan once.

    Args:
        plan: The plan.
        listener: Receives the events of the statements.
        limit: The maximum number of rows to keep of a result.
        measure: Whether to measure the progress of statements.
    """

    def __init__(self, plan: RunPlan, listener: StatementListener, *, limit: int, measure: bool) -> None:
        self._limit = limit
        self.result = LocalRun(plan=plan)
        recorder = _Recorder(self.result, listener)
        self._checks = plan.checks()
        self._materializer = plan.materializer(self._checks)
        self.session = SqlSession(
            plan.engine,
            recorder,
            first_rows=limit,
            prepare=lambda connection, *_: plan.engine.attach(connection, plan.catalogs()),
            query_runner=self._materializer,
            rewrite=plan.rewrite(),
            finish=self._checks.finish if self._checks else lambda _: None,
            measure=measure,
        )

    def run(self) -> LocalRun:
        """Run the statements; Ctrl-C cancels the active one on the engine.

        Raises:
            InvalidTemplate: When the SQL can't be rendered.
            MissingDriver: When the engine's driver is not installed.
            EngineUnreachable: When the engine can't be reached.
            RunFailed: When a statement failed, with its position in the user's file.
        """
        plan = self.result.plan
        statements = (
            self._materializer.statements(self._statements, plan.dataset.sql)
            if self._materializer
            else self._statements()
        )
        began = time.monotonic()
        try:
            self.session.run(statements)
        except StatementFailed as failed:
            raise failure(plan, failed) from failed
        except MaterializationFailed as failed:
            raise RunFailed(failed.message, detail=failed.hint) from failed
        except ChecksFailed as failed:
            raise RunFailed(failed.title, detail="\n".join(failed.details)) from failed
        finally:
            self.result.seconds = time.monotonic() - began
            self.result.checks = self._checks.results if self._checks else ()
        return self.result

    def _statements(self, table: RunTable = THERE) -> list[RenderedStatement]:
        """Return the statements of the run, with one that reads the first rows of the written table."""
        statements = self.result.plan.statements(table)
        if self._limit:
            written = self._materializer.name if self._materializer else _written(statements)
            statements += _samples(written, self._limit)
        return statements


class _Recorder:
    """Record the results, and forward every event."""

    def __init__(self, run: LocalRun, listener: StatementListener) -> None:
        self._run = run
        self._listener = listener
        self.failed = listener.failed
        self.cancelling = listener.cancelling
        self.not_cancelled = listener.not_cancelled

    def started(self, statement: RenderedStatement) -> None:
        if statement.name != SAMPLE:
            self._listener.started(statement)

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        self._run.results.append((statement, seconds, result))
        if statement.name != SAMPLE:
            self._listener.ended(statement, seconds, result)

    def passed_over(self, failed: StatementFailed) -> None:
        if failed.statement.name != SAMPLE and failed.statement.kind != "materialization":
            self._listener.passed_over(failed)


def _written(statements: list[RenderedStatement]) -> str | None:
    """Return the table that the last statement of the query writes; None for a query that returns rows."""
    last = next((s for s in reversed(statements) if s.kind == "query"), None)
    written = _WRITTEN.match(last.sql) if last else None
    return written["table"] if written else None


def _samples(table: str | None, limit: int) -> list[RenderedStatement]:
    """Return the statement that reads the first rows of the written table."""
    if table is None:
        return []
    return [RenderedStatement(SAMPLE, f"select * from {table} limit {limit}", "post", True, None)]  # noqa: S608 - the user's own name, in the user's own session


def failure(plan: RunPlan, failed: StatementFailed) -> RunFailed:
    """Return the error for a statement that failed, with its position in the user's file."""
    cause = failed.__cause__ or failed
    place = error_in_file(plan.dataset, failed.statement, cause)
    reason = one_line(cause, whole="--verbose shows the whole message")
    if place is not None:
        reason = f"{place}: {_POINTER.sub('', reason)}"
    return RunFailed(f"The {place_of(failed.statement)} failed.", detail=reason)


def error_in_file(dataset: LocalDataset, statement: RenderedStatement, error: BaseException) -> str | None:
    """Return the position of an engine's error in the user's file.

    Returns:
        The statement's start if the error has no position; None for a statement that no spec contains.
    """
    from dataspec.problems import Problem
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.sql.source_map import in_macros, in_template, place_in

    origin = statement.origin
    if origin is None:
        return None
    found = place_in(statement.sql, error)
    if found is not None and found.line <= origin.before:
        found = None
    line = origin.line - 1 + (found.line - origin.before if found else 1)
    column, word = (found.column, found.word) if found else (None, "")
    begin = column - 1 + len(word) if column else 0
    line, at = in_template(origin.text.sql, origin.rendered, line, begin, word)
    places = SqlPlaces.of(dataset.yaml, dataset.file)
    problem = places.placed(Problem("", "", line, at), origin.text)
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
    in_macro = in_macros(origin.text.shared, word) if at is None and word else None
    return f"{place}: {in_macro}" if in_macro else place


def log_run(run: LocalRun, root: Path, outcome: str, error: str | None = None) -> None:
    """Append a run to the log, ``.dli/runs.jsonl`` in the project (specification 23.8).

    Args:
        run: The run.
        root: The project's folder.
        outcome: ``COMPLETED``, ``FAILED`` or ``KILLED``.
        error: The error of a failed run.

    Raises:
        OSError: When the log can't be written.
    """
    plan = run.plan
    entry = {
        "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "dataset_name": plan.spec.name,
        "spec_hash": spec_hash(plan.dataset.yaml, plan.dataset.sql),
        "connection": plan.spec.execution.connection,
        "partition": plan.partition.name if plan.partition else None,
        "parameters": plan.parameters,
        "status": outcome,
        "seconds": round(run.seconds, 3),
        "rows_written": run.rows_written,
        "checks": [asdict(check) for check in run.checks],
        "error": error,
    }
    folder = root / LOG_FOLDER
    if not folder.is_dir():
        folder.mkdir()
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, ensure_ascii=False) + "\n")
