with week as (
    select date_trunc('week', date '{{ execution_date }}')::date as monday
),

departures as (
    select
        week.monday as week_start,
        daily.*
    from flights.daily as daily
    inner join week
        on daily.flight_date between week.monday and week.monday + 6
),

carriers as (
    select
        delays.carrier_name,
        sum(delays.mean_delay * delays.flights) / sum(delays.flights) as mean_delay
    from flights.carrier_delays as delays
    inner join week
        on delays.flight_date between week.monday and week.monday + 6
    group by delays.carrier_name
)

select
    week_start,
    origin,
    count(distinct flight_date) as days,
    count(*) as flights,
    count(*) filter (where cancelled) as cancelled,
    sum(distance)::bigint as miles,
    round(avg(departure_delay), 1) as mean_delay,
    mode(destination) as busiest_destination,
    (select arg_max(carrier_name, mean_delay) from carriers) as latest_carrier
from departures
group by all
