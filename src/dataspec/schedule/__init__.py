"""Schedules: cron in time zones, the next run, run ids, and plans of backfills.

Start with ``cron`` (ticks, intervals, partitions); ``next_run`` builds on it.
"""
