"""Dataset Specs for these tests."""

from __future__ import annotations

from textwrap import dedent

SQL = "insert into daily_clicks select * from clicks where day = '{{ execution_date }}'\n"

SPEC = dedent(
    """\
    # kept by the analytics team
    name: iceberg.analytics.daily_clicks
    type: Dataset
    owner: engineer@example.com
    team: "@data-engineering"
    query_file: daily_clicks.sql

    parameters:
      - name: execution_date
        type: string
        required: true

    schedule:
      enabled: true
      cron: "0 9 * * *"
      timezone: "Asia/Seoul"
      retry:
        max_attempts: 3
        delay_seconds: 300
      notifications:
        on_failure:
          - type: slack
            channel: "#data-alerts"
        on_source_change:
          - type: slack
            channel: "#data-alerts"
    """
)


def spec_text(name: str, *, sql: str = "select 1", extra: str = "") -> str:
    """Return a small spec with its SQL inside."""
    return f'name: {name}\ntype: Dataset\nowner: a@example.com\nquery_statement: "{sql}"\n{extra}'
