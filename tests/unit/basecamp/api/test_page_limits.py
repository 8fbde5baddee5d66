"""A list that is asked for more than a page holds answers a page, and where the next one begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from httpx import Client, Response

from basecamp.api.routes import backfills, datasets, runs, workflows

Register = Callable[..., Response]
Start = Callable[..., str]

LARGEST = {
    "workflows": (workflows, 10_000),
    "runs": (runs, 500),
    "datasets": (datasets, 200),
    "backfills": (backfills, 100),
}


@pytest.mark.rule("27.3")
@pytest.mark.parametrize("path", LARGEST)
def test_a_limit_above_the_largest_page_is_cut_to_it(
    path: str, register: Register, start: Start, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        register(name)
        start(name)
        client.post(f"/workflows/{name}/backfills", json={"start": "2024-01-01", "end": "2024-01-02"})
    module, largest = LARGEST[path]
    assert largest == module.MAX_PAGE
    monkeypatch.setattr(module, "MAX_PAGE", 1)
    answer = client.get(f"/{path}", params={"limit": 1_000_000}).json()
    assert len(answer["items"]) == 1
    assert answer["next_cursor"] is not None
