"""The project on this machine: its specs found, checked, compared and published."""
