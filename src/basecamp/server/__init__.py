"""The server: its settings, its start and end, and the one place that wires everything."""
