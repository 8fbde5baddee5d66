"""A place on a real S3 server, reached through a proxy of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_proxy import Proxy, proxy
from s3 import S3


@pytest.fixture
def between(s3: S3) -> Iterator[Proxy]:
    if not s3.endpoint.startswith("http://"):
        pytest.skip("the proxy of the tests speaks plain HTTP")
    with proxy(s3.endpoint) as started:
        yield started


@pytest.fixture
def place(between: Proxy, s3: S3) -> S3:
    """The place on the server, as it is reached through the proxy."""
    return s3.through(between.url)
