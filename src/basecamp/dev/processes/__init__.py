"""The programs of `basecamp dev`: start, health checks, supervision, shutdown."""
