"""Run the checks of a dataset on the rows that its table has (docs/checks.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataspec.engines.session import SqlSession, StatementFailed
from dataspec.errors import DliError, RunFailed
from dataspec.sql.checks.findings import ChecksFailed
from dataspec.sql.materialization.failure import MaterializationFailed
from dli.local.run import failure

if TYPE_CHECKING:
    from dataspec.engines.session import StatementListener
    from dataspec.models import CheckResult
    from dli.local.run import RunPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDataset:
    """What the checks of one dataset found."""

    plan: RunPlan
    seconds: float
    checks: tuple[CheckResult, ...]
    error: DliError | None = None
    """Why they could not run, or that rows fail."""


def run_checks(plan: RunPlan, listener: StatementListener) -> CheckedDataset | None:
    """Run the checks of a dataset, without its SQL; Ctrl-C cancels the running one.

    Returns:
        What they found; None for a dataset that has none.

    Raises:
        InvalidTemplate: When the SQL of a check can't be rendered.
        MissingDriver: When the engine's driver is not installed.
        EngineUnreachable: When the engine can't be reached.
    """
    checks = plan.checks()
    if checks is None:
        return None
    materializer = plan.materializer(checks)
    finish = materializer.check_built if materializer else checks.finish
    session = SqlSession(plan.engine, listener, first_rows=0, rewrite=plan.rewrite(), finish=finish)
    began = time.monotonic()
    error: DliError | None = None
    try:
        session.run([statement for statement in plan.statements() if statement.kind == "seed"])
    except ChecksFailed as failed:
        error = RunFailed(failed.title, detail="\n".join(failed.details))
    except MaterializationFailed as failed:
        error = RunFailed(failed.message, detail=failed.hint)
    except StatementFailed as failed:
        error = failure(plan, failed)
    return CheckedDataset(plan=plan, seconds=time.monotonic() - began, checks=checks.results, error=error)
