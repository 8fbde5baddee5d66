"""Values in SQL: where they stand, how each is written there, and what is refused."""
