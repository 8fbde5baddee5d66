"""Values in SQL: how each is bound at its place, or refused. Start with ``binding``."""
