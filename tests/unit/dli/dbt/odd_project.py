"""A dbt project with what the bakery lacks: packages, versions, aliases, hooks, tests of sources, odd seeds."""

FILES = {
    "dbt_project.yml": """\
name: odd
packages-install-path: packages
vars: {threshold: 5, low: "{{ 1 + 1 }}"}
models:
  odd: {+materialized: table, +schema: shop}
seeds:
  odd:
    prices: {+delimiter: ";", +column_types: {price: "decimal(10, 2)"}}
tests: {+severity: warn}
""",
    "packages/helpers/dbt_project.yml": "name: helpers\n",
    "packages/helpers/macros/helpers.sql": "{% macro above(column) %}{{ column }} > {{ var('threshold') }}{% endmacro %}\n",
    "packages/helpers/models/one.sql": "{{ config(materialized='view') }}select 1 as n\n",
    "seeds/prices.csv": "product;price;since\nbread;3.5;2024-01-01\ncake;null;2024-01-02\n",
    "seeds/nothing.csv": "code,name\n",
    "models/sources.yml": """\
sources:
  - name: till
    schema: raw
    tables:
      - name: sales
        freshness: {error_after: {count: 1, period: day}}
        columns:
          - name: id
            data_tests: [unique, not_null]
          - name: product
            data_tests:
              - relationships: {to: ref('prices'), field: product}
      - name: events
        config: {event_time: happened_at}
      - name: unread
        columns: [{name: id, data_tests: [not_null]}]
""",
    "models/sales.sql": """\
{{ config(alias='all_sales', pre_hook="create table if not exists {{ this.schema }}.log (n int)", tags='a') }}
select id, product, amount{% if var('with_note', false) %}, note{% endif %}
from {{ source('till', 'sales') }}
where {{ helpers.above('amount') }} and id > {{ var('low') }}
""",
    "models/middle.sql": "{{ config(materialized='ephemeral') }}\nselect * from {{ ref('sales') }}\n",
    "models/report_v2.sql": "select product, count(*) as n from {{ ref('middle') }} group by product\n",
    "models/report_v1.sql": "select product from {{ ref('middle') }}\n",
    "models/last.sql": "select r.*, o.n as one from {{ ref('report') }} as r cross join {{ ref('helpers', 'one') }} as o\n",
    "models/off.sql": "{{ config(enabled=false) }}\nselect 1\n",
    "models/lists.sql": """\
select {% for c in ['id', 'amount'] %}{{ c }}{{ ", " if not loop.last }}{% endfor %}
from {{ ref('sales') }}
""",
    "models/batches.sql": """\
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened_at', batch_size='day',
          begin='2024-01-01') }}
select id, happened_at from {{ source('till', 'events') }}
""",
    "models/replaced.sql": """\
{{ config(materialized='incremental', incremental_strategy='insert_overwrite') }}
select 1 as n
""",
    "models/models.yml": """\
groups: [{name: finance, owner: {email: finance@example.com}}]
models:
  - name: report
    latest_version: 2
    config: {group: finance}
    columns: [{name: product, data_type: varchar, description: What was sold.}, {name: gone, description: It was.}]
    versions: [{v: 1}, {v: 2}]
""",
    "snapshots/kept.sql": "{% snapshot kept %}select 1{% endsnapshot %}\n",
    "models/broken.yml": "models: [\n",
}
