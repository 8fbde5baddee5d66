create table if not exists flights.daily (
    flight_date     date        not null,
    scheduled_at    timestamp   not null,
    weather_hour    timestamptz not null,
    carrier         varchar     not null,
    flight_number   integer     not null,
    tail_number     varchar,
    origin          varchar     not null,
    destination     varchar     not null,
    departed_at     timestamp,
    departure_delay integer,
    arrival_delay   integer,
    air_time        integer,
    distance        integer     not null,
    cancelled       boolean     not null
)
