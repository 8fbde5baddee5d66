"""Datasets on PostgreSQL, where a query can be seen, and held until a test lets it go on."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from airflow_api import NEVER
from postgres import Postgres
from stacks import Stack

CONNECTION = "warehouse_pg"

PASS = """
create table begun (mark text, day text, others int, id serial);
create table built (mark text, day text, version text, id serial);
create table gates (mark text, day text);
create function pass(given_mark text, given_day text) returns void language plpgsql as $$
begin
  while not exists (select from gates where mark = given_mark and day = given_day) loop
    perform pg_sleep(0.05);
  end loop;
end $$;
"""
"""A query waits in `pass` until its gate is open."""

_AT_WORK = "state = 'active' and application_name <> 'psql'"
"""What a run's query is, and one with which a test looks for it is not."""


@dataclass(frozen=True)
class Gated:
    """A dataset whose run of a date waits on the engine until the test opens that date's gate."""

    stack: Stack
    engine: Postgres
    mark: str = field(default_factory=lambda: f"mark_{uuid.uuid4().hex}")

    def spec(self, version: str = "first") -> dict[str, Any]:
        """Return what the spec says beside its name.

        A run writes down first how many queries of the dataset's other runs it found active, in the
        end that it has built its date.
        """
        others = (
            f"select count(*) from pg_stat_activity where query like '%pass(%{self.mark}%' "
            f"and pid <> pg_backend_pid() and {_AT_WORK}"
        )
        begin = f"insert into begun (mark, day, others) values ('{self.mark}', '{{{{ execution_date }}}}', ({others}))"
        build = (
            "insert into built (mark, day, version) "
            f"values ('{self.mark}', '{{{{ execution_date }}}}', '{version}')"
        )
        return {
            "query_statement": f"select pass('{self.mark}', '{{{{ execution_date }}}}')",
            "parameters": [{"name": "execution_date", "type": "date"}],
            "pre_statements": [{"name": "begin", "sql": begin}],
            "post_statements": [{"name": "build", "sql": build}],
            "execution": {"connection": CONNECTION},
            "schedule": {"cron": NEVER, "retry": {"max_attempts": 0}},
        }

    def register(self, **more: Any) -> str:
        """Register it; return its name."""
        spec = self.spec() | more
        return self.stack.register(spec.pop("query_statement"), **spec)

    def open(self, *days: str) -> None:
        """Let the runs of these dates go on, now or later."""
        for day in days:
            self.engine.ask(f"insert into gates values ('{self.mark}', '{day}')")

    def is_at(self, day: str) -> bool:
        """Say whether the engine runs the query of that date's run at this moment."""
        return self._runs(f"pass(%{self.mark}%{day}")

    def is_gone(self) -> bool:
        """Say whether the engine runs no query of it; it ends that of a killed process within seconds."""
        return not self._runs(self.mark)

    def begun(self) -> list[list[str]]:
        """Return the date of each run that began its statements, and how many others it found active."""
        return self.engine.ask(f"select day, others from begun where mark = '{self.mark}' order by id")

    def built(self) -> list[list[str]]:
        """Return each date that was built, in that order, with the version of the spec that built it."""
        return self.engine.ask(f"select day, version from built where mark = '{self.mark}' order by id")

    def process(self, name: str) -> int:
        """Return the process that executes the dataset's run."""
        [lock] = self.stack.home.rglob(f"{name}.lock")
        found = re.search(r"process (\d+)", lock.read_text())
        assert found, lock.read_text()
        return int(found[1])

    def _runs(self, text: str) -> bool:
        asked = f"select 1 from pg_stat_activity where query like '%{text}%' and {_AT_WORK}"
        return self.engine.ask(asked) != []
