create table if not exists flights.weather_delays (
    flight_date             date    not null,
    origin                  varchar not null,
    hours                   integer not null,
    bad_hours               integer not null,
    flights                 integer not null,
    mean_delay_bad_weather  double,
    mean_delay_fair_weather double
)
