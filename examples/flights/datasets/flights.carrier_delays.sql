with weather as (
    select
        origin,
        time_hour,
        precip > 0 or visib < 3 or wind_speed >= 25 as is_bad -- inches, miles, miles an hour
    from 'weather.parquet'
),

departures as (
    select
        daily.*,
        coalesce(weather.is_bad, false) as in_bad_weather -- a few hours were not recorded
    from flights.daily as daily
    left join weather
        on daily.origin = weather.origin
        and daily.weather_hour = weather.time_hour
    where daily.flight_date = date '{{ execution_date }}'
)

select
    departures.flight_date,
    departures.carrier,
    airlines.name as carrier_name,
    count(*) as flights,
    count(*) filter (where cancelled) as cancelled,
    count(*) filter (where departure_delay >= {{ late_after_minutes }}) as late,
    round(avg(departure_delay), 1) as mean_delay,
    count(*) filter (where in_bad_weather) as bad_weather_flights,
    round(avg(departure_delay) filter (where in_bad_weather), 1) as mean_delay_bad_weather,
    round(avg(departure_delay) filter (where not in_bad_weather), 1) as mean_delay_fair_weather
from departures
left join 'airlines.parquet' as airlines
    on departures.carrier = airlines.carrier
group by all
