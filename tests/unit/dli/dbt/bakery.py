"""A dbt project in the manner of the public ones, small: what each of its files stands for is tested."""

FILES = {
    "dbt_project.yml": """\
name: bakery
version: "1.0"
profile: bakery
vars:
  first_day: "2024-01-01"
  bakery:
    open_states: [open, held]
models:
  bakery:
    +tags: [nightly]
    staging:
      +materialized: view
    marts:
      +materialized: table
      +tags: [mart]
seeds:
  bakery:
    +schema: raw
""",
    "seeds/raw_sales.csv": """\
id,sold_on,customer,product,cents,state
1,2024-01-01,ann,bread,350,closed
2,2024-01-01,bob,cake,1200,open
3,2024-01-02,ann,cake,1200,closed
4,2023-12-31,cid,bread,350,closed
""",
    "seeds/raw_products.csv": "product,kind\nbread,basic\ncake,sweet\n",
    "macros/money.sql": """\
{# Cents as an amount. #}
{% macro cents(column_name, digits=2) -%}
    round({{ column_name }} / 100.0, {{ digits }})
{%- endmacro %}

{% macro label(text) %}{{ return(adapter.dispatch('label', 'bakery')(text)) }}{% endmacro %}
{% macro default__label(text) %}upper({{ text }}){% endmacro %}

{% test never_in_future(model, column_name) %}
select {{ column_name }} from {{ model }} where {{ column_name }} > date '2100-01-01'
{% endtest %}
""",
    "models/staging/sources.yml": """\
version: 2
sources:
  - name: till
    schema: raw
    tables:
      - name: sales
        identifier: raw_sales
        description: Each sale at the till.
      - name: products
        identifier: raw_products
""",
    "models/staging/stg_sales.sql": """\
{{ config(tags=['till']) }}

with source as (

    select * from {{ source('till', 'sales') }}
    where sold_on >= '{{ var("first_day") }}'

)

select
    id as sale_id,
    sold_on,
    customer,
    product,
    state,
    {{ cents('cents') }} as amount,
    {{ cents('cents + 5', digits=1) }} as rounded
from source
""",
    "models/marts/sales_by_kind.sql": """\
{% set kinds = ['basic', 'sweet'] %}
with sales as (
    select s.*, p.kind
    from {{ ref('stg_sales') }} as s
    join {{ source('till', 'products') }} as p on p.product = s.product
)
select
    sold_on,
    {% for kind in kinds %}
    sum(case when kind = '{{ kind }}' then amount else 0 end) as {{ kind }}_amount,
    {% endfor %}
    sum(amount) as amount
from sales
group by sold_on
""",
    "models/marts/customers.sql": """\
select customer as customer_id, {{ label('customer') }} as title, count(*) as sales
from {{ ref('stg_sales') }}
group by customer
""",
    "models/marts/sales_log.sql": """\
{{
  config(
    materialized='incremental',
    unique_key='sale_id',
    on_schema_change='append_new_columns',
    post_hook="analyze {{ this }}"
  )
}}
select sale_id, sold_on, amount
from {{ ref('stg_sales') }}
{% if is_incremental() %}
where sold_on >= (select max(sold_on) from {{ this }})
{% endif %}
""",
    "models/marts/states.sql": """\
{{ config(materialized='view') }}
select
  {{ dbt_utils.star(ref('stg_sales')) }}
from {{ ref('stg_sales') }}
""",
    "models/marts/model.py": "def model(dbt, session):\n    return dbt.ref('stg_sales')\n",
    "models/docs.md": "{% docs amount %}\nWhat was paid, in euros.\n{% enddocs %}\n",
    "models/marts/marts.yml": """\
version: 2
models:
  - name: customers
    description: One row for each customer.
    columns:
      - name: customer_id
        description: The name at the till.
        tags: [pii]
        data_tests:
          - unique
          - not_null
  - name: sales_log
    columns:
      - name: sale_id
        data_tests:
          - unique:
              config:
                severity: warn
          - not_null
      - name: sold_on
        data_tests:
          - not_null
          - never_in_future
      - name: amount
        description: '{{ doc("amount") }}'
        data_tests:
          - dbt_utils.accepted_range:
              min_value: 0
          - dbt_expectations.expect_column_stdev_to_be_between:
              max_value: 5
  - name: stg_sales
    columns:
      - name: state
        data_tests:
          - accepted_values:
              arguments:
                values: [open, closed, held]
      - name: customer
        data_tests:
          - relationships:
              to: ref('customers')
              field: customer_id
      - name: product
        data_tests:
          - relationships:
              to: source('till', 'products')
              field: product
unit_tests:
  - name: amounts_are_euros
    model: customers
    given:
      - input: ref('stg_sales')
        rows:
          - {customer: ann}
          - {customer: ann}
    expect:
      rows:
        - {customer_id: ann, sales: 2}
exposures:
  - name: till_report
    type: dashboard
    owner: {email: ann@example.com}
""",
    "tests/no_free_sales.sql": """\
-- Nothing is free.
select c.customer_id
from {{ ref('customers') }} as c
join {{ ref('stg_sales') }} as s on s.customer = c.customer_id
where s.amount <= 0
""",
}
