"""Tools of all rooms: clock, background loops, caches, leases, idempotency keys, cursors, addresses of pages."""
