"""The route that sends test messages."""

from __future__ import annotations

from fastapi import APIRouter

from basecamp.api import PREFIX
from basecamp.api.dependencies import ServicesOf
from basecamp.api.request_models import NotificationTest, NotificationTestBody

router = APIRouter(prefix=f"{PREFIX}/notifications", tags=["notifications"])


@router.post("/test")
def send_test(services: ServicesOf, body: NotificationTestBody) -> NotificationTest:
    """Send a test message through each channel of a dataset, or to a named target, and say how it went."""
    tried = services.channel_test.send(body.name, body.event)
    return NotificationTest(name=body.name, channels=tried)
