from __future__ import annotations

import pytest

from dataspec.errors import InvalidSettings
from dli.client.addresses import Address, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8800", Address("http", "127.0.0.1", 8800)),
        ("https://basecamp.example/", Address("https", "basecamp.example", 443)),
        ("HTTP://Basecamp.Example/team/", Address("http", "basecamp.example", 80, "/team")),
        ("http://[::1]:8800", Address("http", "::1", 8800)),
        ("https://me:a%2Fb@h", Address("https", "h", 443, "", "me:a/b")),
    ],
)
def test_a_url_is_taken_apart(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@basecamp.example:443/x", "https://basecamp.example/x"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://h:8800", "http://h:8800"),
    ],
)
def test_an_address_is_shown_without_credentials_and_without_the_port_that_goes_without_saying(
    url: str, shown: str
) -> None:
    assert str(parse_address(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8800",
        "ftp://h",
        "http://",
        "http://h:99999",
        "http://h?x=1",
        "http://h#x",
        "",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="Invalid server URL"):
        parse_address(url)


@pytest.mark.rule("26.6")
@pytest.mark.parametrize(
    "url", ["ftp://me:secret@h", "http://me:secret/x@h", "http://[me:secret@h", "http://me:secret\u2100@h"]
)
def test_a_refused_address_does_not_show_its_password(url: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        parse_address(url)
    assert "secret" not in f"{error.value.title}{error.value.detail}"
