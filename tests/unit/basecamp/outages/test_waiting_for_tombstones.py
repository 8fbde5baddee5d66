"""The time that a writer waits for a tombstone, and the time that a request has."""

from __future__ import annotations

import pytest

from basecamp.outages.request_budget import REQUEST_SECONDS
from basecamp.server.serving import STORE_TIMEOUTS


@pytest.mark.rule("5.20")
def test_a_request_outlasts_the_wait_for_a_tombstone_that_stays() -> None:
    """Otherwise a tombstone would count as a store that hangs, and stop all other requests."""
    assert STORE_TIMEOUTS.removal < STORE_TIMEOUTS.settled < REQUEST_SECONDS - 1
