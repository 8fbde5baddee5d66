"""A server whose store is full of bombs: it lists, shows and previews the others, and its health answers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

import bombs
from integration.basecamp.test_serve import Serve, settings

pytestmark = pytest.mark.xdist_group("bombs on a server")

HEALTH_SECONDS = 10.0
ANSWER_SECONDS = 300.0
"""How long an answer is waited for: a call has 3 s of processor time, of which a busy machine gives little."""
MAX_KIB = 600 * 1024
"""What the server may weigh at most: it keeps the texts of its store, and these are of a mebibyte each."""

SOUND = "demo.sound"
HEAVY = {
    "templates": ["folded center", "folded format", "methods in a loop", "doubling mapping", "open braces"],
    "sql": ["subqueries", "indexes", "commas", "fewer statements", "fewer joins"],
}
"""Bombs that are run dry and shown one after the other; those that took longest, and those that killed a server."""


class Health:
    """Asks a server for its health again and again, and keeps how long the slowest answer took."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=300)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.slowest = 0.0
        self.answers = 0
        self.idle = 0.0
        """How long the slowest took before anything was asked of the server: that of a busy machine."""

    def __enter__(self) -> Self:
        for _ in range(10):
            self.idle = max(self.idle, self._seconds())
        self._thread.start()
        return self

    def _seconds(self) -> float:
        began = time.monotonic()
        assert self._client.get("/healthz").status_code == 200
        return time.monotonic() - began

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _ask(self) -> None:
        while True:
            self.slowest = max(self.slowest, self._seconds())
            self.answers += 1
            if self._ended.wait(0.2):
                return


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A server on a store with a sound dataset among all bombs."""
    folder = tmp_path_factory.mktemp("bombs")
    code = folder / "store" / "code"
    (code / "sound").mkdir(parents=True)
    (code / "sound" / "dataset.yaml").write_text(bombs.spec_of("").replace("demo.bomb", SOUND))
    (code / "sound" / "bomb.sql").write_text("select * from raw.clicks")
    for kind, found in (("templates", bombs.TEMPLATES), ("sql", bombs.SQL), ("yaml", bombs.YAML)):
        for number, text in enumerate(found.values()):
            place = code / f"{kind}_{number}"
            place.mkdir()
            if kind == "yaml":
                (place / "dataset.yaml").write_text(text)
            else:
                (place / "dataset.yaml").write_text(bombs.spec_of(text).replace("demo.bomb", place.name))
                (place / "bomb.sql").write_text(text)
    server = Serve(settings(folder), folder / "log")
    server.url()
    yield server
    server.process.kill()
    server.process.wait()


def peak_kib(server: Serve) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def until_listed(client: httpx.Client) -> httpx.Response:
    """Ask until the server has read the store for the first time; it says after some seconds that it has not yet."""
    deadline = time.monotonic() + 300
    while (listed := client.get("/datasets", params={"limit": 100})).status_code == 503:
        assert "has not listed its specs" in listed.json()["detail"], listed.text
        assert time.monotonic() < deadline
    return listed


@pytest.mark.rule("10.12")
def test_the_others_are_listed_and_run_dry_with_every_bomb_in_the_store(server: Serve) -> None:
    url = server.url()
    with Health(url) as health, httpx.Client(base_url=f"{url}/api/v1", timeout=300) as client:
        assert until_listed(client).status_code == 200
        assert client.get(f"/datasets/{SOUND}").json()["reads"] == ["raw.clicks"]
        answer = client.post(f"/workflows/{SOUND}/runs", json={"dry_run": True})
        assert answer.json()["reads"] == ["raw.clicks"]
    assert health.slowest <= HEALTH_SECONDS + health.idle
    assert peak_kib(server) < MAX_KIB


@pytest.mark.rule("10.12")
@pytest.mark.parametrize(("kind", "bomb"), [(kind, bomb) for kind, names in HEAVY.items() for bomb in names])
def test_a_bomb_is_run_dry_and_shown_without_holding_the_server(server: Serve, kind: str, bomb: str) -> None:
    name = f"{kind}_{list(bombs.TEMPLATES if kind == 'templates' else bombs.SQL).index(bomb)}"
    url = server.url()
    with Health(url) as health, httpx.Client(base_url=f"{url}/api/v1", timeout=ANSWER_SECONDS) as client:
        dry = client.post(f"/workflows/{name}/runs", json={"dry_run": True})
        assert dry.status_code in {200, 422}, dry.text
        shown = client.get(f"/datasets/{name}")
        assert shown.status_code in {200, 422}, shown.text
    assert server.process.poll() is None
    assert health.answers > 0
    assert health.slowest <= HEALTH_SECONDS + health.idle
    assert peak_kib(server) < MAX_KIB
