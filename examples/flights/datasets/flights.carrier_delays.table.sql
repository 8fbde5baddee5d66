create table if not exists flights.carrier_delays (
    flight_date             date    not null,
    carrier                 varchar not null,
    carrier_name            varchar,
    flights                 integer not null,
    cancelled               integer not null,
    late                    integer not null,
    mean_delay              double,
    bad_weather_flights     integer not null,
    mean_delay_bad_weather  double,
    mean_delay_fair_weather double
)
