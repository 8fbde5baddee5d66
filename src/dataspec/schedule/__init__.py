"""Schedules: cron with time zones, which run is next, ids of runs, plans of backfills."""
