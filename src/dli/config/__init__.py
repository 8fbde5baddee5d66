"""Settings: each from the strongest place that gives it, and the files that hold them."""
