"""Puts the rows of runs that have ended into Airflow's database: to have it run ten thousand takes hours."""

from __future__ import annotations

from postgres import Postgres

_HISTORY = """\
begin;
create temporary table past as
    select dag_id, id as dag_version_id, run_after,
        dag_id || '_' || to_char(run_after at time zone 'utc', 'YYYYMMDD_HH24MISS') as run_id,
        case when number % 50 = 0 then 'failed' else 'success' end as state
    from dag_version
    cross join generate_series(1, {each}) as number
    cross join lateral (select date_trunc('day', now()) - number * interval '1 day' as run_after) as due
    order by run_after, dag_id;
insert into dag_run
    (dag_id, run_id, run_type, triggered_by, state, conf, logical_date, data_interval_start,
    data_interval_end, run_after, queued_at, start_date, end_date, created_at, updated_at, log_template_id,
    created_dag_version_id, clear_number, span_status)
    select dag_id, run_id, 'scheduled', 'TIMETABLE', state, '{{}}', run_after - interval '1 day',
        run_after - interval '1 day', run_after, run_after, run_after, run_after + interval '1 s',
        run_after + interval '9 s', run_after, run_after + interval '9 s',
        (select max(id) from log_template), dag_version_id, 0, 'not_started'
    from past order by run_after, dag_id;
insert into task_instance
    (id, task_id, dag_id, run_id, map_index, start_date, end_date, duration, state, try_number, max_tries,
    hostname, unixname, pool, pool_slots, queue, priority_weight, operator, queued_dttm, scheduled_dttm,
    updated_at, span_status, task_display_name, dag_version_id)
    select gen_random_uuid(), 'run', dag_id, run_id, -1, run_after + interval '2 s',
        run_after + interval '8 s', 6, state, 1, 1, 'host', 'user', 'default_pool', 1, 'default', 1,
        'DatasetOperator', run_after, run_after, run_after + interval '8 s', 'not_started', 'run',
        dag_version_id
    from past;
insert into xcom (dag_run_id, task_id, map_index, key, dag_result, dag_id, run_id, value, timestamp)
    select dag_run.id, 'run', -1, 'dli.manual.0123456789abcdef.1', false, dag_id, run_id, '"manual/spec.yaml"',
        past.run_after
    from past join dag_run using (dag_id, run_id);
commit;
analyze dag_run, task_instance, xcom;
"""


def put_runs(database: Postgres, runs: int, datasets: int) -> None:
    """Put so many runs, shared out evenly among the datasets that Airflow has loaded, one a day."""
    database.ask(_HISTORY.format(each=runs // datasets))
