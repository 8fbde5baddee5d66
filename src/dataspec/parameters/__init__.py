"""A run's parameters: their types, how the given ones are resolved, and what a run's SQL sees beside them."""
