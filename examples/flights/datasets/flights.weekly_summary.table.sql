create table if not exists flights.weekly_summary (
    week_start          date    not null,
    origin              varchar not null,
    days                integer not null,
    flights             integer not null,
    cancelled           integer not null,
    miles               bigint  not null,
    mean_delay          double,
    busiest_destination varchar,
    latest_carrier      varchar
)
