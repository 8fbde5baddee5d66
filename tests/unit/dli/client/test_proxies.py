from __future__ import annotations

import pytest

from dataspec.errors import InvalidSettings
from dli.client.addresses import parse_address, proxy_for


def proxy(url: str, **environ: str) -> str | None:
    found = proxy_for(parse_address(url), environ)
    return str(found) if found else None


@pytest.mark.rule("21.11")
def test_the_variable_of_the_servers_scheme_names_the_proxy() -> None:
    environ = {"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:2"}
    assert proxy("http://h", **environ) == "http://a:1"
    assert proxy("https://h", **environ) == "http://b:2"
    assert proxy("https://h", HTTP_PROXY="http://a:1") is None


def test_lower_case_stands_before_upper_case_and_all_proxy_comes_last() -> None:
    environ = {"http_proxy": "http://a:1", "HTTP_PROXY": "http://b:2", "ALL_PROXY": "http://c:3"}
    assert proxy("http://h", **environ) == "http://a:1"
    assert proxy("https://h", **environ) == "http://c:3"


def test_a_proxy_may_be_named_without_a_scheme() -> None:
    assert proxy("http://h", http_proxy="proxy.example:3128") == "http://proxy.example:3128"


def test_the_header_proxy_of_a_cgi_request_is_not_taken_for_a_setting() -> None:
    assert proxy("http://h", HTTP_PROXY="http://evil:1", REQUEST_METHOD="GET") is None


@pytest.mark.rule("21.11")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_a_server_on_this_machine_is_reached_directly(host: str) -> None:
    assert proxy(f"http://{host}:8800", http_proxy="http://a:1") is None


@pytest.mark.rule("21.11")
@pytest.mark.parametrize(
    ("url", "excepted", "direct"),
    [
        ("http://h.example", "h.example", True),
        ("http://H.Example", "h.example", True),
        ("http://a.h.example", "h.example", True),
        ("http://a.h.example", ".h.example", True),
        ("http://a.h.example", "*.h.example", True),
        ("http://notah.example", "h.example", False),
        ("http://h.example", "x, h.example ,y", True),
        ("http://h.example:8800", "h.example:8800", True),
        ("http://h.example:8800", "h.example:9900", False),
        ("http://h.example", "*", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://h.example", "10.0.0.0/8", False),
        ("http://[2001:db8::1]", "[2001:db8::1]", True),
        ("http://h.example", "", False),
    ],
)
def test_no_proxy_names_what_is_reached_directly(url: str, excepted: str, direct: bool) -> None:
    assert (proxy(url, http_proxy="http://a:1", NO_PROXY=excepted) is None) is direct


@pytest.mark.parametrize("url", ["socks5://a:1", "https://a:1"])
def test_a_proxy_of_another_kind_is_refused_by_the_name_of_its_variable(url: str) -> None:
    with pytest.raises(InvalidSettings, match="https_proxy"):
        proxy("https://h", https_proxy=url)
