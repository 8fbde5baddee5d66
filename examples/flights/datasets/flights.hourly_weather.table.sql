create table if not exists flights.hourly_weather (
    origin        varchar     not null,
    observed_at   timestamptz not null,
    precipitation double,
    visibility    double,
    wind_speed    double,
    is_bad        boolean     not null
)
