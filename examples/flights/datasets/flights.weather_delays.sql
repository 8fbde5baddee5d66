with weather as (
    select *
    from flights.hourly_weather
    where
        observed_at >= timestamptz '{{ partition_start }}'
        and observed_at < timestamptz '{{ partition_end }}'
),

hours as (
    select
        origin,
        count(*) as hours,
        count(*) filter (where is_bad) as bad_hours
    from weather
    group by origin
)

select
    daily.flight_date,
    daily.origin,
    coalesce(any_value(hours.hours), 0) as hours,
    coalesce(any_value(hours.bad_hours), 0) as bad_hours,
    count(*) as flights,
    round(avg(daily.departure_delay) filter (where weather.is_bad), 1) as mean_delay_bad_weather,
    round(avg(daily.departure_delay) filter (where not weather.is_bad), 1) as mean_delay_fair_weather
from flights.daily as daily
left join hours
    on daily.origin = hours.origin
left join weather
    on daily.origin = weather.origin
    and daily.weather_hour = weather.observed_at
where daily.flight_date = date '{{ execution_date }}'
group by all
