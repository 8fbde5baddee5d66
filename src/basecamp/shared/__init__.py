"""What all domains use: the clock, leases, idempotency keys, cursors, answers that may be old."""
