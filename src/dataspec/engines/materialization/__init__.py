"""The parts of a run that publishes its rows: one attempt's statements, and the new table of a full refresh."""
