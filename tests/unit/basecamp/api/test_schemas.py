from __future__ import annotations

import pytest
from httpx import Client

from dataspec.spec.json_schema import schema_text


@pytest.mark.rule("19.6")
def test_the_schema_is_served_and_kept_until_it_changes(client: Client) -> None:
    answer = client.get("http://test/schemas/dataset.json")
    assert (answer.status_code, answer.text) == (200, schema_text())
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.headers["cache-control"] == "public, max-age=86400"
    again = client.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(answer.url, headers={"If-None-Match": '"other"'}).status_code == 200
