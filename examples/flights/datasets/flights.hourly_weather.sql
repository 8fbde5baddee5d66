select
    origin,
    time_hour as observed_at,
    precip as precipitation,
    visib as visibility,
    wind_speed,
    coalesce(precip > 0 or visib < 3 or wind_speed >= 25, false) as is_bad
from 'weather.parquet'
where
    time_hour >= timestamptz '{{ partition_start }}'
    and time_hour < timestamptz '{{ partition_end }}'
