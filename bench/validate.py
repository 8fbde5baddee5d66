"""Measure `dli dataset validate --all`: cold processes, over generated projects of a thousand and ten thousand specs.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from commands import machine
from processes import Command, measure, table
from server import BIN

SIZES = (1_000, 10_000)
LAYER = 100
"""So many datasets read from the tables of the hundred before them."""

SPEC = """\
name: {name}
type: Dataset
owner: bench@example.com
team: "@bench"
description: Sums of one day, by account and currency.
tags: [bench, daily]
{depends_on}query_file: {name}.sql
execution:
  dialect: duckdb
pre_statements:
  - name: clear
    sql: delete from {name} where day = date '{{{{ execution_date }}}}'
parameters:
  - name: execution_date
    type: date
  - name: minimum
    type: integer
    default: 10
schema:
  - {{ name: day, type: date }}
  - {{ name: account, type: bigint, description: The account's number }}
  - {{ name: currency, type: varchar }}
  - {{ name: amount, type: "decimal(18, 2)" }}
schedule:
  cron: "0 6 * * *"
  timezone: Asia/Seoul
  retry:
    max_attempts: 2
"""

SQL = """\
insert into {name} by name

with entries as (
    select
        date '{{{{ execution_date }}}}' as day,
        account,
        upper(currency) as currency,
        amount,
        row_number() over (partition by account order by booked_at desc) as latest
    from {first}
    where booked_at >= date '{{{{ execution_date }}}}'
),

rates as (
    select currency, rate
    from {second}
    where valid_on = date '{{{{ execution_date }}}}'
)

select
    entries.day,
    entries.account,
    entries.currency,
    sum(entries.amount * rates.rate) as amount
from entries
left join rates
    on entries.currency = rates.currency
where entries.latest <= 3
group by all
having count(*) >= {{{{ minimum }}}}
"""


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder:
        commands = [Command("python -c pass", [str(BIN / "python"), "-c", "pass"], rounds=5)]
        for size in SIZES:
            project = generate(Path(folder) / str(size), size)
            arguments = [str(BIN / "dli"), "--path", str(project), "dataset", "validate", "--all", "--strict"]
            rounds = 7 if size < max(SIZES) else 3
            commands.append(Command(f"dli dataset validate --all, {size:,} specs", arguments, rounds=rounds))
        measure(commands)
        print(table(commands, beside="python -c pass"))


def generate(root: Path, size: int) -> Path:
    """Write a project of so many specs, in layers, without a problem in any; returns its folder."""
    datasets = root / "datasets"
    datasets.mkdir(parents=True)
    (root / "dli.yaml").write_text("name: bench\n")
    for number in range(size):
        name = f"bench.dataset_{number:05}"
        upstream = [f"bench.dataset_{number - step:05}" for step in (LAYER, LAYER // 2) if number >= step]
        first, second = (*upstream, "raw.entries", "raw.rates")[:2]
        depends_on = f"depends_on: [{', '.join(upstream)}]\n" if upstream else ""
        (datasets / f"dataset.{name}.yaml").write_text(SPEC.format(name=name, depends_on=depends_on))
        (datasets / f"{name}.sql").write_text(SQL.format(name=name, first=first, second=second))
    return root


if __name__ == "__main__":
    main()
