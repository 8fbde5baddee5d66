with departures as (
    select
        *,
        make_date(year, month, day) as flight_date,
        make_timestamp(year, month, day, hour, minute, 0.0) as scheduled_at
    from 'flights.parquet'
)

select
    flight_date,
    scheduled_at,
    time_hour as weather_hour,
    carrier,
    flight as flight_number,
    tailnum as tail_number,
    origin,
    dest as destination,
    -- dep_time is hours and minutes with no day: one hour after 23:30 it would lie in the past
    scheduled_at + to_minutes(dep_delay) as departed_at,
    dep_delay as departure_delay,
    arr_delay as arrival_delay,
    air_time,
    distance,
    dep_time is null as cancelled
from departures
where flight_date = date '{{ execution_date }}'
