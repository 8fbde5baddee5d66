"""PostgreSQL: one transaction.

``DELETE`` rather than ``TRUNCATE``: after a truncation, a transaction with an older snapshot sees an empty table
(https://www.postgresql.org/docs/current/mvcc-caveats.html). DDL takes part in transactions, so a new table takes the
place of the old one in one step. Advisory locks (https://www.postgresql.org/docs/current/explicit-locking.html) let
one attempt at a time stage or publish, always taken before any lock of a table. Run on a server, in the tests.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engine_sql import PLAIN_NAME, EngineSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Parts, TypeKinds

_LENGTH = r"(\(\d+\))?"


class PostgresSql(EngineSql):
    """PostgreSQL's SQL."""

    title = "PostgreSQL"
    max_bytes = 63
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile("date"),
        "timestamp": re.compile(rf"timestamp{_LENGTH} without time zone"),
        "instant": re.compile(rf"timestamp{_LENGTH} with time zone"),
        "text": re.compile(rf"text|character varying{_LENGTH}|character{_LENGTH}"),
    }

    def stored(self, name: str) -> str:
        """Return a part of a name in lower case, if it needs no quotes."""
        return name.lower() if PLAIN_NAME.fullmatch(name) else name

    def locate(self, parts: Parts) -> str:
        """Return the query for the schema; in another database PostgreSQL itself refuses the table."""
        schema = self.literal(parts[-2]) if len(parts) > 1 else "current_schema()"
        database = self.literal(parts[-3]) if len(parts) > 2 else "current_database()"  # noqa: PLR2004
        return (
            f"select {database}, {schema}, {database} <> current_database() or exists (\n"
            f"  select 1 from pg_catalog.pg_namespace where nspname = {schema})"
        )

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns; generated columns can't be written and don't count."""
        return f"""\
select case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view'
    when 'm' then 'materialized view' when 'f' then 'foreign table' else 'index or sequence' end,
  obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, a.atttypmod),
  col_description(c.oid, a.attnum)
from pg_catalog.pg_class c
left join pg_catalog.pg_attribute a
  on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where current_database() = {self.literal(parts[-3])}
  and c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = {self.literal(parts[-2])})
  and c.relname = {self.literal(parts[-1])}
order by a.attnum"""

    def create_schema(self, schema: Parts) -> list[str]:
        """Return the statements that create a schema; two at once would fail on the catalog's unique index."""
        return [*self.begin(schema), f"create schema if not exists {self.quoted(schema[-1])}", *self.commit()]

    def begin(self, target: Parts) -> list[str]:
        """Start a transaction that holds the lock of the table's publishing."""
        digest = hashlib.sha256("\n".join(("dli", *target)).encode()).digest()
        key = int.from_bytes(digest[:8], signed=True)
        return [self.begins, f"select pg_advisory_xact_lock({key})"]

    def publish(self, act: Act) -> list[str]:
        """Return the statements of the act; no one else writes the table meanwhile, and all may read it."""
        kept = act.how not in {"create", "swap", "redefine"}
        lock = [f"lock table {self.named(act.target)} in share row exclusive mode"] if kept else []
        return [*lock, *super().publish(act)]

    def dependents(self, target: Parts) -> str:
        """Return the query for the views that read a table or view: they would have to go with it."""
        return f"""\
select distinct r.ev_class::regclass::text
from pg_catalog.pg_depend d
join pg_catalog.pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
where d.refclassid = 'pg_class'::regclass and d.refobjid = {self._oid(target)} and r.ev_class <> d.refobjid
order by 1"""

    def grants(self, target: Parts) -> str:
        """Return the query for the grants of a table or view, and of its columns; the owner's are left out."""
        return f"""\
select acl.privilege_type, case when acl.grantee = 0 then 'public' else pg_get_userbyid(acl.grantee) end,
  rights.attname, acl.is_grantable
from (
  select c.relowner, c.relacl as acl, null as attname from pg_catalog.pg_class c where c.oid = {self._oid(target)}
  union all
  select c.relowner, a.attacl, a.attname from pg_catalog.pg_class c
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and not a.attisdropped
  where c.oid = {self._oid(target)}
) rights, aclexplode(rights.acl) acl
where acl.grantee <> rights.relowner
order by 1, 2, 3"""

    def _oid(self, target: Parts) -> str:
        return f"to_regclass({self.literal(self.named(target[-2:]))})"
