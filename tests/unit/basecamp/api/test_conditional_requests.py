"""Methods, ETags and conditions as RFC 9110 has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from httpx import Client, Response

from basecamp.datasets.catalog_cache import CatalogCache
from dataspec.store import MemoryStore

Register = Callable[..., Response]
Publish = Callable[..., None]
MANUAL = "manual/sales.daily.yaml"
NAME = "/datasets/sales.daily"
READS = ("/workflows", "/runs", "/datasets", "/backfills", "/workflows/sales.daily", NAME, f"{NAME}/versions")


@pytest.mark.rule("19.20")
def test_head_answers_as_get_without_the_body(client: Client, register: Register) -> None:
    register()
    for address in (
        *READS,
        "/runs/none",
        "http://test/healthz",
        "http://test/openapi.json",
        "http://test/docs",
    ):
        same = {"X-Request-Id": "same"}
        read, head = client.get(address, headers=same), client.head(address, headers=same)
        assert (head.status_code, head.content) == (read.status_code, b""), address
        assert head.headers == read.headers
    assert client.head("/sync").status_code == 405


@pytest.mark.rule("19.20")
def test_allow_names_the_methods_of_an_address_and_options_answers(client: Client) -> None:
    for path, operations in client.get("http://test/openapi.json").json()["paths"].items():
        address = f"http://test{path.replace('{name}', 'x').replace('{', '').replace('}', '')}"
        methods = {method.upper() for method in operations}
        expected = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        if path.endswith("/validate"):
            expected |= {"GET", "HEAD", "PUT", "PATCH", "DELETE"}  # a dataset may have this name
        for method in ("OPTIONS", "TRACE"):
            answer = client.request(method, address)
            assert answer.status_code == (204 if method == "OPTIONS" else 405)
            assert set(answer.headers["allow"].split(", ")) == expected, path
    assert client.options("/none").status_code == 404


@pytest.mark.rule("19.21")
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a",W/"b" , W/{}', ', "a",, {} ,', "*"])
def test_what_the_caller_has_is_not_sent_again(client: Client, register: Register, form: str) -> None:
    register()
    for address in READS:
        etag = client.get(address).headers["etag"]
        again = client.get(address, headers={"If-None-Match": form.format(etag)})
        assert (again.status_code, again.content) == (304, b""), address
        assert again.headers["etag"] == etag
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.rule("19.21")
def test_a_response_that_changed_has_another_etag(client: Client, register: Register) -> None:
    etags = {address: client.get(address).headers.get("etag") for address in READS[:3]}
    register()
    for address in ("/workflows", "/datasets"):
        assert client.get(address, headers={"If-None-Match": etags[address] or ""}).status_code == 200


@pytest.mark.rule("19.13")
@pytest.mark.parametrize("form", ['"other", {}', "{}", "*", '"a","b",{}'])
def test_a_condition_may_be_a_list(client: Client, register: Register, form: str) -> None:
    etag = register().headers["etag"]
    condition = {"If-Match": form.format(etag)}
    assert client.patch(NAME, json={"cron": "0 8 * * *"}, headers=condition).status_code == 200
    unmet = {"If-Match": f'"other", {etag}'}
    assert client.patch(NAME, json={"cron": "0 7 * * *"}, headers=unmet).status_code == 412
    assert client.delete(NAME, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.rule("19.13")
def test_the_etag_of_a_read_is_one_for_a_change(client: Client, register: Register) -> None:
    register()
    etag = client.get(NAME).headers["etag"]
    assert client.patch(NAME, json={"cron": "0 8 * * *"}, headers={"If-Match": etag}).status_code == 200
    assert client.patch(NAME, json={"cron": "0 7 * * *"}, headers={"If-Match": etag}).status_code == 412
    weak = {"If-Match": f"W/{client.get(NAME).headers['etag']}"}
    assert client.delete(NAME, headers=weak).status_code == 412


@pytest.mark.rule("19.13")
@pytest.mark.parametrize("query", ["", "?source=manual"])
def test_the_etag_of_an_overridden_dataset_is_that_of_its_manual_file(
    client: Client, register: Register, publish: Publish, query: str
) -> None:
    register()
    publish()
    etag = client.get(f"{NAME}{query}").headers["etag"]
    body = {"source": "manual", "cron": "0 8 * * *"}
    assert client.patch(NAME, json=body, headers={"If-Match": etag}).status_code == 200
    assert client.delete(f"{NAME}?source=manual", headers={"If-Match": etag}).status_code == 412
    etag = client.get(f"{NAME}{query}").headers["etag"]
    assert client.delete(f"{NAME}?source=manual", headers={"If-Match": etag}).status_code == 200


@pytest.mark.rule("19.13")
def test_a_put_may_name_what_must_not_be_stored(client: Client, register: Register) -> None:
    stored = register()
    body = {"yaml": stored.json()["yaml"], "files": stored.json()["files"]}
    for condition in ("*", stored.headers["etag"], f'"other", W/{stored.headers["etag"]}'):
        assert client.put(NAME, json=body, headers={"If-None-Match": condition}).status_code == 412
    assert client.put(NAME, json=body, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.rule("19.13")
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_a_condition_that_can_not_be_read_is_refused(client: Client, register: Register, header: str) -> None:
    body = {"yaml": register().json()["yaml"]}
    assert client.put(NAME, json=body, headers={header: '"abc'}).status_code in {400, 422}
    assert client.delete(NAME, headers={"If-Match": '"abc'}).status_code == 400


@pytest.mark.rule("19.13")
@pytest.mark.parametrize(("headers", "status"), [({}, 409), ({"If-Match": "*"}, 412)])
def test_a_conflict_is_412_only_for_a_request_with_a_condition(
    client: Client,
    register: Register,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    status: int,
) -> None:
    register()
    read = CatalogCache.catalog

    def read_and_change(specs: CatalogCache, **options: bool) -> object:
        catalog = read(specs, **options)
        stored = store.get(MANUAL)
        assert stored is not None
        store.put(MANUAL, stored.body + b"\n# changed\n", expected=stored.etag)
        return catalog

    monkeypatch.setattr(CatalogCache, "catalog", read_and_change)
    answer = client.patch(NAME, json={"cron": "0 8 * * *"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, "conflict")


@pytest.mark.rule("19.21")
def test_what_was_created_has_an_address(client: Client, register: Register) -> None:
    created = register()
    assert (created.status_code, created.headers["location"]) == (201, "/api/v1/datasets/sales.daily")
    assert "location" not in register().headers
    run = client.post("/workflows/sales.daily/runs", json={"parameters": {"execution_date": "2024-01-14"}})
    backfill = client.post(
        "/workflows/sales.daily/backfills", json={"start": "2024-01-01", "end": "2024-01-02"}
    )
    for answer in (created, run, backfill):
        assert answer.status_code == 201
        assert client.get(f"http://test{answer.headers['location']}").status_code == 200
